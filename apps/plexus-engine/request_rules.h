#pragma once

#include "server-context.h"

namespace plexus::engine {

/// What the engine makes sure of before a request reaches llama.cpp. Throws std::exception with one sentence for people
/// when the request is at fault: std::length_error if it is too long.
class RequestRules {
public:
    RequestRules(server_routes const& routes, server_context_meta const& meta, int infill_batch);

    /// A request with the body as llama.cpp is to see it: streams where the route does, holds no media that the model
    /// does not take or that would have to be loaded from somewhere, and nothing that would be cut silently.
    /// `should_stop` must outlive it.
    std::shared_ptr<server_http_req> admit(std::string const& route, std::string body,
                                           std::function<bool()> const& should_stop) const;

    /// Whether a streamed part only tells how much of the prompt is read; asked for by `admit`, not by the client.
    static bool is_progress(std::string_view part);

    /// Answers a request of /count.
    server_http_res_ptr count(server_http_req const& request) const;

    /// The error of llama.cpp with both numbers if it says that an input does not fit.
    json with_both_numbers(json error) const;

private:
    void check_media(json const& body) const;
    void check_infill(json const& body, std::function<bool()> const& should_stop) const;
    std::size_t tokens_in(json const& text, bool add_special, std::function<bool()> const& should_stop) const;

    server_http_context::handler_t tokenize_;
    server_http_context::handler_t count_chat_;
    bool sees_;
    bool hears_;
    int context_;
    int infill_batch_;
};

}  // namespace plexus::engine
