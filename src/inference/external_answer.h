#pragma once

#include "inference/chat_events.h"

namespace plexus::inference {

/// Longest silence of an engine of others in the middle of a task: it may read a long prompt without a word.
inline constexpr auto external_silence_limit = std::chrono::minutes(5);
inline constexpr std::size_t max_event_bytes = 1024 * 1024;  ///< of one part of a stream

HttpRequest external_request(std::string method, std::string url, std::string_view token);

/// The answer of an OpenAI-compatible server to one task. What nobody takes waits in the transfer, and behind it at the server.
class ExternalAnswer : public Generation {
public:
    ExternalAnswer(Env& env, std::unique_ptr<HttpTransfer> transfer, TaskKind kind);

    Task<Result<std::optional<Part>>> next() override;
    /// Where the server tells no rates, they are measured here.
    Timings const& timings() const override { return timings_; }

protected:
    /// The server could not be reached.
    virtual void lost(Error const& error) = 0;

private:
    Task<Result<void>> take_head();
    Result<void> take(ByteView piece);
    Result<std::optional<Part>> end();

    Env& env_;
    std::unique_ptr<HttpTransfer> transfer_;
    TaskKind kind_;
    bool has_head_ = false;
    EventParser parser_;
    std::string tail_;  // the last bytes of the stream, for its end word
    std::deque<Part> parts_;
    std::size_t document_bytes_ = 0;
    Time begun_;
    std::optional<Time> first_;
    Time last_{};
    Timings timings_;
};

}  // namespace plexus::inference
