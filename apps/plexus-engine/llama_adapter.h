#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace plexus::engine {

/// The only door to llama.cpp. Its headers are included by llama_adapter.cpp, chat_route, draft_model.cpp and request_rules
/// alone.
class LlamaAdapter {
public:
    struct Answer {
        int status = 0;
        std::string body;      ///< of a refusal, or a whole document
        /// Of a streamed answer: fills the next part, false after the last. Empty otherwise.
        std::function<bool(std::string& part)> next;
        std::shared_ptr<void> owner;  ///< keeps the answer alive
    };

    LlamaAdapter();
    ~LlamaAdapter();

    /// Loads the model file at `path` with the parameters of the LOAD frame (JSON), and the draft model at `draft` unless that
    /// is empty. Gives the READY JSON. Errors: `malformed` (parameters, a draft of another vocabulary), `unavailable`
    /// (llama.cpp would not load it).
    Result<std::string> load(std::string const& path, std::string const& draft, std::string const& parameters);

    /// The most memory that the process has had.
    static std::uint64_t resident_bytes();

    /// Computes until `terminate`; the caller's thread becomes the model's owner.
    void run();
    void terminate();

    /// Runs one request; blocks; may be called from several threads while `run` works. `should_stop` ends it early and
    /// must outlive the answer.
    Answer handle(std::string const& route, std::string body, std::function<bool()> const& should_stop);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace plexus::engine
