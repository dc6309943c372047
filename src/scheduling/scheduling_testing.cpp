#include "scheduling/scheduling_testing.h"

#include <boost/json.hpp>
#include <doctest/doctest.h>

namespace plexus::scheduling::testing {

using namespace std::chrono_literals;

namespace {

class ScriptedGeneration final : public inference::Generation {
public:
    ScriptedGeneration(ScriptedRunner& runner, TaskKind kind, std::size_t said)
        : runner_(runner), kind_(kind), script_(runner.script), said_(said), prompt_tokens_(runner.last_body.size() / 4)
    {
        ++runner_.alive;
    }
    ~ScriptedGeneration() override
    {
        --runner_.alive;
        runner_.last_end = runner_.env.now();
    }

    Task<Result<std::optional<inference::Part>>> next() override
    {
        if (given_ == script_.fails_at) {
            co_return fail(script_.failure, "the script says so");
        }
        if (said_ + given_ >= script_.chunks) {
            co_return std::optional<inference::Part>{};
        }
        co_await sleep_for(runner_.env, script_.pause + (given_ == 0 ? reading_time() : Duration::zero()));
        ++runner_.produced;
        timings_ = script_.prefill_per_second > 0
                       ? inference::Timings{prompt_tokens_, given_ + 1, script_.prefill_per_second,
                                            std::chrono::duration<double>(1s) / script_.pause}
                       : inference::Timings{64, given_ + 1, 400, 100};
        co_return part(said_ + given_++);
    }

    inference::Timings const& timings() const override { return timings_; }

private:
    Duration reading_time() const
    {
        auto const seconds = script_.prefill_per_second > 0 ? double{1} * prompt_tokens_ / script_.prefill_per_second
                                                            : 0;
        return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
    }

    inference::Part part(std::size_t number) const
    {
        if (script_.speaks || script_.tells_tokens) {
            auto const ends = script_.ends_with_reason && number + 1 == script_.chunks;
            auto part = inference::Part{fmt::format(R"({{"choices":[{{"index":0,"delta":{{"content":"{} "}}{}}}]}})",
                                                    number, ends ? R"(,"finish_reason":"stop")" : "")};
            if (script_.tells_tokens) {
                part.tokens = {static_cast<std::uint32_t>(number)};
            }
            return part;
        }
        if (inference::is_streamed(kind_)) {
            return {scripted_chunk(number, script_.chunk_bytes)};
        }
        auto const whole = scripted_document(kind_, script_);
        auto const from = whole.size() * number / script_.chunks;
        return {whole.substr(from, whole.size() * (number + 1) / script_.chunks - from)};
    }

    ScriptedRunner& runner_;
    TaskKind kind_;
    Script script_;
    std::size_t said_;  // before it began
    std::uint64_t prompt_tokens_;
    std::size_t given_ = 0;
    inference::Timings timings_;
};

/// How many tokens a body says were said.
std::size_t said_in(std::string const& body)
{
    auto code = boost::system::error_code{};
    auto const json = boost::json::parse(body, code);
    auto const* const object = code ? nullptr : json.if_object();
    auto const* const said = object == nullptr ? nullptr : object->if_contains("plexus_said");
    return said == nullptr ? 0 : said->as_array().size();
}

crypto::KeyPair key(int number)
{
    auto const bytes = Bytes(32, static_cast<std::byte>(number));
    return crypto::KeyPair(crypto::Secret32(std::span<std::byte const, 32>(bytes)));
}

}  // namespace

std::string scripted_chunk(std::size_t number, std::size_t padding)
{
    return fmt::format(R"({{"token":{},"padding":"{}"}})", number, std::string(padding, 'x'));
}

std::string scripted_document(TaskKind kind, Script const& script)
{
    auto const padding = std::string(script.chunks * script.chunk_bytes, 'x');
    return fmt::format(R"({{"kind":"{}","padding":"{}"}})", to_string(kind), padding);
}

Task<Result<std::unique_ptr<inference::Generation>>> ScriptedRunner::start(ModelDigest, TaskKind kind, std::string body,
                                                                           std::function<void()> loading)
{
    ++started;
    last_body = std::move(body);
    last_kind = kind;
    if (script.loading > Duration::zero()) {
        loading();
        co_await sleep_for(env, script.loading);
    }
    if (script.fails_at == 0) {
        co_return fail(script.failure, "the script says so");
    }
    if (script.prefill_per_second > 0) {
        script.chunks = boost::json::parse(last_body).at("max_tokens").to_number<std::size_t>();
    }
    co_return std::make_unique<ScriptedGeneration>(*this, kind, script.tells_tokens ? said_in(last_body) : 0);
}

catalog::Model model(std::string name, std::string content)
{
    auto made = catalog::Model{};
    made.digest = crypto::sha256(as_view(content.empty() ? name : content));
    made.names = {std::move(name)};
    made.size_bytes = 100'000'000;
    return made;
}

Device::Device(sim::World& world, std::string name, int number, Limits limits)
    : env(world.add_device(std::move(name))), host(make_host(env, key(number), gater, {})),
      catalog(catalog::make_catalog(env)), runner(env)
{
    auto options = Options{};
    options.limits = limits;
    options.name_of = [](PeerId const& peer) { return "device " + peer.short_text(); };
    scheduler = make_scheduler(env, *host, *catalog, runner, std::move(options));
    address = host->listen(Multiaddr::from_tcp({env.address(), 4001})).value();
    catalog->start(*host);
}

Task<> Device::connect(Device& other)
{
    CHECK(co_await host->connect(other.id(), {other.address}, env.deadline_in(10s)));
}

Task<> Device::stop()
{
    co_await scheduler->stop();
    co_await catalog->stop();
    co_await host->stop();
}

namespace {

std::vector<std::unique_ptr<Device>> make_devices(sim::World& world, std::size_t count, Limits limits)
{
    auto made = std::vector<std::unique_ptr<Device>>{};
    for (auto const* name : {"left", "right", "third"}) {
        if (made.size() < count) {
            made.push_back(std::make_unique<Device>(world, name, static_cast<int>(made.size()) + 1, limits));
        }
    }
    return made;
}

}  // namespace

Mesh::Mesh(std::size_t count, std::uint64_t seed, Limits limits)
    : world(seed), devices(make_devices(world, count, limits)), left(*devices.front()),
      right(*devices.at(count > 1 ? 1 : 0)), third(*devices.at(count > 2 ? 2 : 0))
{
}

void Mesh::run(Task<> task)
{
    auto whole = [](Mesh& mesh, Task<> inner) -> Task<> {
        for (std::size_t index = 1; index < mesh.devices.size(); ++index) {
            co_await mesh.devices[0]->connect(*mesh.devices[index]);
        }
        co_await sleep_for(mesh.left.env, 1s);
        co_await std::move(inner);
        for (auto const& device : mesh.devices) {
            co_await device->stop();
        }
    };
    REQUIRE(world.run(whole(*this, std::move(task)), 1h));
}

InferenceTask ask(std::string model_name, TaskKind kind)
{
    return {.request_id = "request-1", .model = std::move(model_name), .kind = kind, .body = R"({"messages":[]})"};
}

Task<Outcome> finish(Env& env, Result<std::unique_ptr<RunningTask>> task)
{
    auto outcome = Outcome{};
    auto const begin = env.now();
    if (!task) {
        outcome.error = task.error();
        co_return outcome;
    }
    for (;;) {
        auto event = co_await (*task)->next();
        outcome.took = env.now() - begin;
        if (!event) {
            outcome.error = event.error();
            co_return outcome;
        }
        outcome.events.push_back(*event);
        if (event->kind == TaskEvent::Kind::chunk) {
            outcome.chunks.push_back(event->text);
        } else if (event->kind == TaskEvent::Kind::routed) {
            outcome.routes.push_back(event->route.device);
        } else if (event->kind == TaskEvent::Kind::finished) {
            outcome.timings = event->timings;
            co_return outcome;
        }
    }
}

}  // namespace plexus::scheduling::testing
