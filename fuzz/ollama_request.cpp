#include <boost/json/serialize.hpp>

#include "api/chat_request.h"
#include "api/ollama_answer.h"
#include "api/ollama_request.h"
#include "base/bytes.h"
#include "base/sim_env.h"

using namespace plexus;
using namespace plexus::api;

namespace {

Env& device()
{
    static auto world = sim::World(1);
    static auto& made = world.add_device("fuzz");
    return made;
}

/// The same chunk as a whole answer and as a stream, of which every line is JSON.
void answer(std::string const& chunk, OllamaAnswerOptions options)
{
    auto dialect = OllamaDialect(device(), std::move(options));
    auto written = dialect.keep_alive();
    for (auto again = 0; again < 2; ++again) {
        written += dialect.chunk(chunk).value_or("");
    }
    written += dialect.end();
    for (auto rest = std::string_view(written); !rest.empty(); rest.remove_prefix(rest.find('\n') + 1)) {
        PLEXUS_ASSERT(parse_object(rest.substr(0, rest.find('\n'))).has_value());
    }
    PLEXUS_ASSERT(parse_object(dialect.whole().body).has_value());
}

void check(std::expected<OllamaRequest, Problem> const& request)
{
    if (!request || request->task.empty() || request->kind != TaskKind::chat) {
        return;
    }
    auto const chat = parse_chat_request(boost::json::serialize(request->task));
    // A schema that is nested to the limit is nested deeper there.
    PLEXUS_ASSERT(chat.has_value() || chat.error().code == "malformed");
    PLEXUS_ASSERT(!chat || (chat->model == request->model && chat->stream));
}

}  // namespace

/// What passes the edge as a chat passes OpenAI's edge too.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size)
{
    auto const text = as_text(std::as_bytes(std::span(data, size)));
    check(parse_ollama_chat(text));
    check(parse_ollama_generate(text));
    std::ignore = parse_ollama_embeddings(text);
    std::ignore = parse_ollama_model(text);
    auto const embed = parse_ollama_embed(text);
    PLEXUS_ASSERT(!embed || embed->inputs <= max_embed_inputs);
    using enum OllamaAnswerOptions::Form;
    answer(std::string(text), {.form = chat, .model = "m", .stream = true});
    answer(std::string(text), {.form = generate, .model = "m", .stream = false});
    auto embeddings = OllamaEmbedDialect(device(), OllamaEmbedDialect::Form::embed, "m", embed ? embed->dimensions : 2);
    std::ignore = embeddings.chunk(std::string(text));
    PLEXUS_ASSERT(parse_object(embeddings.whole().body).has_value());
    return 0;
}
