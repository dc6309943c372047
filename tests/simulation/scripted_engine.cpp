#include "simulation/scripted_engine.h"

#include <set>

#include <boost/asio/detached.hpp>

#include "sandbox/report_testing.h"
#include "stream/engine_protocol.h"

namespace plexus::simulation {

namespace {

using inference::TaskKind;
using stream::EngineFrameType;

constexpr std::size_t longest_answer = 24;
constexpr std::size_t max_model_bytes = 1 << 20;

/// One life of an engine; its answers run beside its reader and look here whether it is over.
struct Life {
    Env& env;
    ByteStream& channel;  // gone when `over`
    std::shared_ptr<EngineMood const> mood;
    crypto::Digest32 model{};
    std::set<std::uint32_t> cancelled{};
    std::uint32_t busy = 0;
    bool over = false;
    bool silent = false;
    std::optional<int> exit{};

    bool chance(double share) const
    {
        return share > 0 && static_cast<double>(env.random("engine").below(1'000'000)) < share * 1e6;
    }
};

using LifeHandle = std::shared_ptr<Life>;

Task<bool> send(LifeHandle life, EngineFrameType type, std::uint32_t id, std::string_view payload)
{
    if (life->over) {
        co_return false;
    }
    auto const frame = stream::encode(type, id, as_view(payload));
    auto const written = co_await life->channel.write(frame);
    co_return written && !life->over;
}

/// Anything that goes wrong before a part; true if it did.
Task<bool> misbehave(LifeHandle life)
{
    if (life->chance(life->mood->babbles)) {
        auto const nonsense = life->env.random("engine").bytes(64);
        std::ignore = co_await life->channel.write(nonsense);
        co_return true;
    }
    if (life->chance(life->mood->dies)) {
        life->exit = 139;
        life->channel.reset();
        co_return true;
    }
    if (life->chance(life->mood->hangs)) {
        life->silent = true;
        co_return true;
    }
    co_return life->silent;
}

/// The rest of an answer, as server-sent events if it is streamed, cut anywhere. Each part of a chat is a token.
std::vector<std::string> cut_answer(LifeHandle const& life, TaskKind kind, std::vector<std::string> const& parts,
                                    std::size_t said)
{
    auto const streams = inference::is_streamed(kind);
    auto cut = std::vector<std::string>{};
    for (auto index = said; index < parts.size(); ++index) {
        auto const& part = parts[index];
        auto const is_token = kind == TaskKind::chat && index + 1 < parts.size();
        auto const id = is_token ? fmt::format("id: {}\n", index) : "";
        auto const event = streams ? id + "data: " + part + "\n\n" : part;
        auto const at = life->env.random("engine").below(event.size());
        cut.push_back(event.substr(0, at));
        cut.push_back(event.substr(at));
    }
    if (streams) {
        cut.emplace_back("data: [DONE]\n\n");
    }
    return cut;
}

TaskKind kind_of(std::string_view route)
{
    auto kind = TaskKind::chat;
    for (std::uint64_t number = 0; inference::route_of(kind) != route; ++number) {
        kind = inference::task_kind_from(number).value();
    }
    return kind;
}

Task<> answer(LifeHandle life, std::uint32_t id, TaskKind kind, std::string body)
{
    struct Busy {
        Life& life;
        ~Busy() { --life.busy; }
    };
    ++life->busy;
    auto const busy = Busy{*life};
    if (!co_await send(life, EngineFrameType::head, id, std::string_view("\xc8\0\0\0", 4))) {
        co_return;
    }
    auto const said = take_said(body);
    for (auto const& piece : cut_answer(life, kind, expected_parts(life->model, kind, body), said)) {
        co_await sleep_for(life->env, life->mood->pause / 2);
        if (life->over || life->cancelled.contains(id) || co_await misbehave(life)) {
            co_return;
        }
        if (!piece.empty() && !co_await send(life, EngineFrameType::chunk, id, piece)) {
            co_return;
        }
    }
    std::ignore = co_await send(life, EngineFrameType::end, id, "");
}

Task<> load(LifeHandle life)
{
    co_await sleep_for(life->env, life->mood->load);
    if (life->over) {
        co_return;
    }
    auto const refuses = life->chance(life->mood->refuses);
    if (!refuses) {
        std::ignore = co_await send(life, EngineFrameType::walls, 0, sandbox::proven_walls());
    }
    std::ignore = co_await send(life, refuses ? EngineFrameType::refused : EngineFrameType::ready, 0,
                                refuses ? R"(the wall "landlock" is open)" : R"({"slots":4,"context":4096})");
}

Task<> take(LifeHandle life, stream::EngineFrame frame)
{
    auto const executor = life->env.executor();
    if (life->silent) {
        co_return;
    }
    if (frame.type == EngineFrameType::load) {
        asio::co_spawn(executor, load(life), asio::detached);
    } else if (frame.type == EngineFrameType::request) {
        auto const text = as_text(frame.payload);
        auto const end = text.find('\n');
        auto const kind = kind_of(text.substr(0, end));
        auto body = std::string(text.substr(end + 1));
        asio::co_spawn(executor, answer(life, frame.request, kind, std::move(body)), asio::detached);
    } else if (frame.type == EngineFrameType::cancel) {
        life->cancelled.insert(frame.request);
    } else if (frame.type == EngineFrameType::ping) {
        std::ignore = co_await send(life, EngineFrameType::pong, 0, fmt::format(R"({{"busy":{}}})", life->busy));
    }
}

crypto::Digest32 digest_of(File const& file)
{
    auto bytes = Bytes(std::min<std::size_t>(file.size(), max_model_bytes));
    std::ignore = file.read_at(0, bytes);
    return crypto::sha256(bytes);
}

Task<int> run_engine(std::shared_ptr<EngineMood const> mood, Env& env, ByteStream& channel, ProcessOptions options)
{
    struct AtEnd {
        Life& life;
        ~AtEnd() { life.over = true; }
    };
    auto const life = std::make_shared<Life>(Life{.env = env, .channel = channel, .mood = std::move(mood)});
    auto const at_end = AtEnd{*life};
    life->model = digest_of(*options.file);
    auto decoder = stream::EngineFrameDecoder(stream::max_to_engine);
    auto buffer = Bytes(16 * 1024);
    for (;;) {
        auto const count = (co_await channel.read_some(buffer)).value_or(0);
        if (count == 0) {
            co_return life->exit.value_or(0);
        }
        decoder.push(ByteView(buffer).first(count));
        while (auto frame = decoder.next().value()) {
            co_await take(life, std::move(*frame));
        }
    }
}

std::string word(crypto::Digest32 const& hash, std::size_t index)
{
    return fmt::format("{} {}", index, to_hex(hash.bytes().subspan(index, 4)));
}

std::vector<std::string> chunks(crypto::Digest32 const& hash, std::size_t count, std::size_t prompt_tokens)
{
    auto parts = std::vector<std::string>{};
    for (std::size_t index = 0; index < count; ++index) {
        parts.push_back(fmt::format(R"({{"choices":[{{"index":0,"delta":{{"content":"{}"}}}}]}})", word(hash, index)));
    }
    parts.push_back(fmt::format(R"({{"choices":[],"usage":{{"prompt_tokens":{},"completion_tokens":{}}},)"
                                R"("timings":{{"prompt_per_second":500.0,"predicted_per_second":50.0}}}})",
                                prompt_tokens, count));
    return parts;
}

std::vector<std::string> document(crypto::Digest32 const& hash, std::size_t count)
{
    auto parts = std::vector<std::string>{"["};
    for (std::size_t index = 0; index < count; ++index) {
        parts.push_back(fmt::format(R"("{}",)", word(hash, index)));
    }
    parts.emplace_back("null]");
    return parts;
}

}  // namespace

std::vector<std::string> expected_parts(crypto::Digest32 const& model, TaskKind kind, std::string_view body)
{
    auto seed = to_bytes(model.bytes());
    append(seed, as_view(to_string(kind)));
    append(seed, as_view(body));
    auto const hash = crypto::sha256(seed);
    auto const count = 1 + std::to_integer<std::size_t>(hash.bytes()[0]) % longest_answer;
    return inference::is_streamed(kind) ? chunks(hash, count, body.size() / 4) : document(hash, count);
}

std::size_t take_said(std::string& body)
{
    auto const from = body.find(R"(,"plexus_said":[)");
    if (from == std::string::npos) {
        return 0;
    }
    auto const to = body.find(']', from);
    auto const said = static_cast<std::size_t>(std::count(body.begin() + static_cast<std::ptrdiff_t>(from) + 1,
                                                          body.begin() + static_cast<std::ptrdiff_t>(to), ','));
    body.erase(from, to + 1 - from);
    return said + 1;
}

sim::Program scripted_engine(std::shared_ptr<EngineMood const> mood)
{
    return [mood = std::move(mood)](Env& env, ByteStream& channel, ProcessOptions options) {
        return run_engine(mood, env, channel, std::move(options));
    };
}

}  // namespace plexus::simulation
