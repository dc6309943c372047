#include "simulation/scripted_engine.h"

#include <set>

#include <boost/asio/detached.hpp>

#include "stream/engine_protocol.h"

namespace plexus::simulation {

namespace {

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

/// The server-sent events of one answer, cut anywhere.
std::vector<std::string> cut_events(LifeHandle const& life, std::vector<std::string> const& parts)
{
    auto cut = std::vector<std::string>{};
    for (auto const& part : parts) {
        auto const event = "data: " + part + "\n\n";
        auto const at = life->env.random("engine").below(event.size());
        cut.push_back(event.substr(0, at));
        cut.push_back(event.substr(at));
    }
    cut.emplace_back("data: [DONE]\n\n");
    return cut;
}

Task<> answer(LifeHandle life, std::uint32_t id, std::string body)
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
    for (auto const& piece : cut_events(life, expected_parts(life->model, body))) {
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
        auto body = std::string(text.substr(text.find('\n') + 1));
        asio::co_spawn(executor, answer(life, frame.request, std::move(body)), asio::detached);
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

}  // namespace

std::vector<std::string> expected_parts(crypto::Digest32 const& model, std::string_view body)
{
    auto seed = to_bytes(model.bytes());
    append(seed, as_view(body));
    auto const hash = crypto::sha256(seed);
    auto const count = 1 + std::to_integer<std::size_t>(hash.bytes()[0]) % longest_answer;
    auto parts = std::vector<std::string>{};
    for (std::size_t index = 0; index < count; ++index) {
        auto const word = to_hex(hash.bytes().subspan(index, 4));
        parts.push_back(fmt::format(R"({{"choices":[{{"index":0,"delta":{{"content":"{} {}"}}}}]}})", index, word));
    }
    parts.push_back(fmt::format(R"({{"choices":[],"usage":{{"prompt_tokens":{},"completion_tokens":{}}},)"
                                R"("timings":{{"prompt_per_second":500.0,"predicted_per_second":50.0}}}})",
                                body.size() / 4, count));
    return parts;
}

sim::Program scripted_engine(std::shared_ptr<EngineMood const> mood)
{
    return [mood = std::move(mood)](Env& env, ByteStream& channel, ProcessOptions options) {
        return run_engine(mood, env, channel, std::move(options));
    };
}

}  // namespace plexus::simulation
