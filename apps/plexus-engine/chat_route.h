#pragma once

#include "server-context.h"

namespace plexus::engine {

/// The texts of tokens in an answer.
class Pieces {
public:
    Pieces(llama_vocab const* vocab, common_params const& params, task_params const& task)
        : vocab_(vocab), shows_special_(params.special), preserved_(task.sampling.preserved_tokens)
    {
    }

    std::string text_of(llama_tokens const& tokens) const;
    llama_tokens tokens_of(std::string const& text) const;
    bool ends_answer(llama_token token) const { return llama_vocab_is_eog(vocab_, token); }

private:
    llama_vocab const* vocab_;
    bool shows_special_;
    std::set<llama_token> preserved_;
};

/// Answers chats as llama.cpp's own route does, and goes on with answers that another engine of the same model began.
///
/// Each event with a part of the answer has as its id the tokens that the part was made of: "id: 12,7\ndata: {...}\n\n".
/// What a token adds is one event, so that an answer can be cut between any two of them and lose nothing.
///
/// A body may hold "plexus_said", the tokens of the answer so far. It goes on behind them: nothing of them is said again, and
/// they count as its own in its usage and its longest length. A few tokens of an answer that is the same each time
/// (temperature 0, or a seed) are computed again one by one, since one step for many rounds otherwise than one for each;
/// more are read in one step, like the prompt.
class ChatRoute {
public:
    /// All that is borrowed must outlive it.
    ChatRoute(server_context& context, common_params const& params, server_routes const& routes,
              server_context_meta const& meta);

    /// As a handler of server_routes. Throws std::exception when the request is at fault.
    server_http_res_ptr operator()(server_http_req const& request) const;

    /// For its answers, which it must outlive: a task of what oaicompat_chat_params_parse gives, and what goes with it.
    server_task make_task(json const& data) const;
    Pieces pieces_of(server_task const& task) const;
    server_response_reader reader() const;

private:
    server_context& context_;
    common_params const& params_;
    server_http_context::handler_t plain_;
    server_context_meta meta_;
    llama_vocab const* vocab_;
};

}  // namespace plexus::engine
