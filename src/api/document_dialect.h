#pragma once

#include "api/chat_answer.h"
#include "api/dialect.h"

namespace plexus::api {

/// Of answers that are one document: collects its parts.
class DocumentDialect : public Dialect {
public:
    Result<std::string> chunk(std::string chunk) override
    {
        if (document_.size() + chunk.size() > max_answer_bytes) {
            return fail(ErrorKind::too_large, "the answer is larger than {} bytes", max_answer_bytes);
        }
        document_ += chunk;
        return std::string{};
    }

    std::string end() override { return {}; }
    std::string failure(Problem const& problem) override { return openai_error_text(problem); }

protected:
    /// The document of the task that has ended.
    std::string take_document() { return std::exchange(document_, {}); }

private:
    std::string document_;
};

}  // namespace plexus::api
