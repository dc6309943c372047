#pragma once

#include "api/dialect.h"

namespace plexus::api {

inline constexpr std::size_t max_document_bytes = 32 << 20;

/// Of answers that are one document: collects its parts.
class DocumentDialect : public Dialect {
public:
    Result<std::string> chunk(std::string chunk) override
    {
        if (document_.size() + chunk.size() > max_document_bytes) {
            return fail(ErrorKind::too_large, "the answer is larger than {} bytes", max_document_bytes);
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
