#include <doctest/doctest.h>

#include "base/sim_env.h"
#include "inference/chat_events.h"
#include "inference/inference.h"
#include "sandbox/report_testing.h"
#include "stream/engine_protocol.h"

using namespace plexus;
using namespace plexus::inference;
using namespace std::chrono_literals;
using stream::EngineFrameType;

namespace {

struct FileModel final : ModelSource {
    explicit FileModel(sim::SimEnv& env_used) : env(env_used) { env.put_file("/model", to_bytes("weights")); }
    Task<Result<std::shared_ptr<File const>>> open(ModelDigest model) override
    {
        opened.push_back(model);
        auto file = env.disk().open(is_empty ? "/nothing" : "/model");
        if (!file) {
            co_return std::unexpected(file.error());
        }
        co_return std::shared_ptr<File const>(std::move(*file));
    }
    std::optional<ModelDigest> draft_of(ModelDigest const&) const override { return draft; }
    std::uint64_t memory_need(ModelDigest const&, EngineShape shape) const override
    {
        return need_of_slot * shape.slots;
    }

    GpuUse gpu_use(ModelDigest const&, EngineShape) const override { return doubts ? GpuUse{} : gpu; }
    bool doubt_gpu() override { return doubts = may_doubt; }
    void judge_gpu(std::optional<Error> const& reason) override
    {
        judged = reason ? reason->text : "not to blame";
        doubts = reason.has_value();
    }

    sim::SimEnv& env;
    bool is_empty = false;
    GpuUse gpu{};
    bool may_doubt = false;
    bool doubts = false;
    std::string judged;
    std::uint64_t need_of_slot = 0;
    std::optional<ModelDigest> draft{};
    std::vector<ModelDigest> opened{};
};

Task<Result<void>> send(ByteStream& channel, EngineFrameType type, std::uint32_t id, std::string_view payload)
{
    auto const frame = stream::encode(type, id, as_view(payload));
    co_return co_await channel.write(frame);
}

/// A scripted engine: answers every request with `tokens` chunks, one each 10 ms; dies before chunk `dies_at`.
sim::Program scripted(int tokens, int dies_at = -1)
{
    return [=](Env& env, ByteStream& channel, ProcessOptions) -> Task<int> {
        auto decoder = stream::EngineFrameDecoder(stream::max_to_engine);
        auto buffer = Bytes(4096);
        for (;;) {
            auto const count = (co_await channel.read_some(buffer)).value_or(0);
            if (count == 0) {
                co_return 0;
            }
            decoder.push(ByteView(buffer).first(count));
            while (auto frame = decoder.next().value()) {
                if (frame->type == EngineFrameType::load) {
                    std::ignore = co_await send(channel, EngineFrameType::walls, 0, sandbox::proven_walls());
                    std::ignore = co_await send(channel, EngineFrameType::ready, 0, R"({"slots":4,"context":4096})");
                } else if (frame->type == EngineFrameType::ping) {
                    std::ignore = co_await send(channel, EngineFrameType::pong, 0, R"({"resident_bytes":1000})");
                } else if (frame->type == EngineFrameType::request) {
                    auto head = std::string("\xc8\0\0\0", 4);
                    std::ignore = co_await send(channel, EngineFrameType::head, frame->request, head);
                    for (auto token = 0; token < tokens; ++token) {
                        if (token == dies_at) {
                            co_return 139;
                        }
                        co_await sleep_for(env, 10ms);
                        auto const text = fmt::format("data: {{\"token\":{}}}\n\n", token);
                        std::ignore = co_await send(channel, EngineFrameType::chunk, frame->request, text);
                    }
                    std::ignore = co_await send(channel, EngineFrameType::chunk, frame->request, "data: [DONE]\n\n");
                    std::ignore = co_await send(channel, EngineFrameType::end, frame->request, "");
                }
            }
        }
    };
}

/// Answers every request with its route and body, cut into frames of `size` bytes, `times` over.
sim::Program echoing(std::size_t size, int times = 1)
{
    return [=](Env&, ByteStream& channel, ProcessOptions) -> Task<int> {
        auto decoder = stream::EngineFrameDecoder(stream::max_to_engine);
        auto buffer = Bytes(4096);
        for (;;) {
            auto const count = (co_await channel.read_some(buffer)).value_or(0);
            if (count == 0) {
                co_return 0;
            }
            decoder.push(ByteView(buffer).first(count));
            while (auto frame = decoder.next().value()) {
                if (frame->type == EngineFrameType::load) {
                    std::ignore = co_await send(channel, EngineFrameType::walls, 0, sandbox::proven_walls());
                    std::ignore = co_await send(channel, EngineFrameType::ready, 0, R"({"slots":4,"context":4096})");
                } else if (frame->type == EngineFrameType::request) {
                    auto const head = std::string("\xc8\0\0\0", 4);
                    std::ignore = co_await send(channel, EngineFrameType::head, frame->request, head);
                    for (auto round = 0; round < times; ++round) {
                        for (auto rest = as_text(frame->payload); !rest.empty();
                             rest = rest.substr(std::min(size, rest.size()))) {
                            std::ignore = co_await send(channel, EngineFrameType::chunk, frame->request,
                                                        rest.substr(0, size));
                        }
                    }
                    std::ignore = co_await send(channel, EngineFrameType::end, frame->request, "");
                }
            }
        }
    };
}

struct Device {
    sim::World world{1};
    sim::SimEnv& env = world.add_device("device");
    FileModel source{env};
    std::unique_ptr<Inference> inference;
    std::uint64_t memory = UINT64_MAX;  ///< for all engines

    explicit Device(sim::Program program)
    {
        env.set_program("/engine", std::move(program));
        auto options = Options{};
        options.program = "/engine";
        options.idle_limit = 10s;
        options.memory_for_engines = [this] { return memory; };
        inference = make_inference(env, source, std::move(options));
    }

    void run(Task<> task)
    {
        auto whole = [](Device& device, Task<> inner) -> Task<> {
            co_await std::move(inner);
            co_await device.inference->stop();
        };
        REQUIRE(world.run(whole(*this, std::move(task))));
    }
};

Task<Result<std::string>> whole_answer(Generation& answer)
{
    auto text = std::string{};
    for (;;) {
        auto part = co_await answer.next();
        if (!part) {
            co_return std::unexpected(part.error());
        }
        if (!*part) {
            co_return text;
        }
        text += (*part)->text;
    }
}

Task<Result<int>> count_chunks(Generation& answer)
{
    for (auto count = 0;; ++count) {
        auto chunk = co_await answer.next();
        if (!chunk) {
            co_return std::unexpected(chunk.error());
        }
        if (!*chunk) {
            co_return count;
        }
    }
}

}  // namespace

TEST_CASE("inference: a model is loaded once for all that ask, and leaves memory when idle")
{
    auto device = Device(scripted(5));
    auto task = [&]() -> Task<> {
        auto loads = 0;
        auto first = (co_await device.inference->start({}, TaskKind::chat, "{}", [&] { ++loads; })).value();
        auto second = (co_await device.inference->start({}, TaskKind::chat, "{}", [&] { ++loads; })).value();
        CHECK((co_await count_chunks(*first)).value() == 5);
        CHECK((co_await count_chunks(*second)).value() == 5);
        CHECK(loads == 1);
        CHECK(device.inference->loaded().at(0).slots == 4);
        first.reset();
        second.reset();
        co_await sleep_for(device.env, 11s);
        CHECK(device.inference->loaded().empty());
    };
    device.run(task());
}

TEST_CASE("inference: a kind that is not streamed gives its document in parts, whatever bytes it has")
{
    auto device = Device(echoing(7));
    auto task = [&]() -> Task<> {
        for (auto const kind : {TaskKind::embeddings, TaskKind::rerank, TaskKind::tokenize, TaskKind::transcription}) {
            auto answer = (co_await device.inference->start({}, kind, "data: no event\n\n[DONE]\n\n", {})).value();
            auto const document = co_await whole_answer(*answer);
            CHECK(document.value() == fmt::format("{}\ndata: no event\n\n[DONE]\n\n", route_of(kind)));
        }
    };
    device.run(task());
}

TEST_CASE("inference: a document over its limit is given up, and the next request is served")
{
    auto device = Device(echoing(900'000, 60));
    auto task = [&]() -> Task<> {
        auto answer =
            (co_await device.inference->start({}, TaskKind::embeddings, std::string(900'000, 'x'), {})).value();
        auto const document = co_await whole_answer(*answer);
        REQUIRE_FALSE(document);
        CHECK(document.error().kind == ErrorKind::too_large);
        answer.reset();
        auto next = (co_await device.inference->start({}, TaskKind::tokenize, "{}", {})).value();
        CHECK(co_await whole_answer(*next));
    };
    device.run(task());
}

TEST_CASE("inference: an engine that dies in an answer fails it as closed, and the next request is served")
{
    auto device = Device(scripted(5, 3));
    auto task = [&]() -> Task<> {
        auto answer = (co_await device.inference->start({}, TaskKind::chat, "{}", {})).value();
        CHECK((co_await count_chunks(*answer)).error().kind == ErrorKind::closed);
        answer.reset();
        co_await sleep_for(device.env, 10ms);
        device.env.set_program("/engine", scripted(2));
        auto next = (co_await device.inference->start({}, TaskKind::chat, "{}", {})).value();
        CHECK((co_await count_chunks(*next)).value() == 2);
    };
    device.run(task());
}

TEST_CASE("inference: an engine that does not start gives its reason, at once while the pause lasts")
{
    auto device = Device([](Env&, ByteStream& channel, ProcessOptions) -> Task<int> {
        std::ignore = co_await send(channel, EngineFrameType::refused, 0, "the wall \"landlock\" is open");
        auto buffer = Bytes(100);
        while ((co_await channel.read_some(buffer)).value_or(0) > 0) {
        }
        co_return 3;
    });
    auto task = [&]() -> Task<> {
        for (auto attempt = 0; attempt < 2; ++attempt) {
            auto const answer = co_await device.inference->start({}, TaskKind::chat, "{}", {});
            CHECK(answer.error().kind == ErrorKind::unavailable);
            CHECK(answer.error().text.contains("landlock"));
        }
    };
    device.run(task());
}

TEST_CASE("inference: an engine that is ready without having proven its walls gets no request")
{
    for (auto const* walls : {"", "walls seccomp\nmissing \nprobes 100\ndigest 0\n"}) {
        auto device = Device([walls](Env& env, ByteStream& channel, ProcessOptions) -> Task<int> {
            if (*walls != '\0') {
                std::ignore = co_await send(channel, EngineFrameType::walls, 0, walls);
            }
            std::ignore = co_await send(channel, EngineFrameType::ready, 0, R"({"slots":1,"context":1})");
            co_await sleep_for(env, 1h);
            co_return 0;
        });
        auto task = [&]() -> Task<> {
            auto const answer = co_await device.inference->start({}, TaskKind::chat, "{}", {});
            REQUIRE_FALSE(answer);
            CHECK(device.inference->loaded().empty());
        };
        device.run(task());
    }
}

/// An engine with doors; says what it was asked for.
sim::Program with_doors(std::vector<std::string>& arguments, std::string& parameters)
{
    return [&](Env& env, ByteStream& channel, ProcessOptions options) -> Task<int> {
        arguments = options.arguments;
        auto const walls = sandbox::to_text(sandbox::report_with({sandbox::Door::new_code}));
        std::ignore = co_await send(channel, EngineFrameType::walls, 0, walls);
        auto buffer = Bytes(4096);
        auto const count = (co_await channel.read_some(buffer)).value_or(0);
        parameters = as_text(ByteView(buffer).first(count));
        std::ignore = co_await send(channel, EngineFrameType::ready, 0,
                                    R"({"slots":1,"context":1,"backend":"Vulkan","gpu":"llvmpipe","gpu_layers":31,)"
                                    R"("gpu_bytes":100,"loaded_weights_bytes":120})");
        co_await sleep_for(env, 1h);
        co_return 0;
    };
}

TEST_CASE("inference: an engine that is asked to use a GPU may have doors, and says what it uses")
{
    auto arguments = std::vector<std::string>{};
    auto parameters = std::string{};
    auto device = Device(with_doors(arguments, parameters));
    device.source.gpu = {.device = "llvmpipe", .layers = 31};
    auto task = [&]() -> Task<> {
        auto const loaded = co_await device.inference->load({});
        REQUIRE(loaded);
        CHECK(loaded->backend == "Vulkan");
        CHECK(loaded->gpu == GpuUse{.device = "llvmpipe", .layers = 31});
        CHECK(loaded->used.on_gpu == 100);
    };
    device.run(task());
    CHECK(arguments == std::vector<std::string>{"--gpu", "llvmpipe"});
    CHECK(parameters.contains(R"("gpu_layers":31)"));
}

TEST_CASE("inference: an engine that has doors and was asked for no GPU is refused")
{
    auto arguments = std::vector<std::string>{};
    auto parameters = std::string{};
    auto device = Device(with_doors(arguments, parameters));
    auto task = [&]() -> Task<> {
        auto const loaded = co_await device.inference->load({});
        REQUIRE_FALSE(loaded);
        CHECK(loaded.error().kind == ErrorKind::unavailable);
        CHECK(loaded.error().text.contains("new-code"));
        CHECK(device.inference->loaded().empty());
    };
    device.run(task());
    CHECK(arguments.empty());
}

/// An engine that does not start on a GPU, and where `broken` says so not at all.
sim::Program unable_to_use_gpus(bool broken)
{
    return [=](Env& env, ByteStream& channel, ProcessOptions options) -> Task<int> {
        if (broken || !options.arguments.empty()) {
            auto const* const reason = options.arguments.empty() ? "no model" : "no node";
            std::ignore = co_await send(channel, EngineFrameType::refused, 0, reason);
            co_await sleep_for(env, 1h);
            co_return 3;
        }
        auto const serve = scripted(1);
        co_return co_await serve(env, channel, std::move(options));
    };
}

TEST_CASE("inference: a model that does not start on the GPU is started on the processor, and the GPU is told of")
{
    auto device = Device(unable_to_use_gpus(false));
    device.source.gpu = {.device = "card", .layers = 31};
    device.source.may_doubt = true;
    auto task = [&]() -> Task<> { CHECK((co_await device.inference->load({})).has_value()); };
    device.run(task());
    CHECK(device.source.judged.contains("no node"));
}

TEST_CASE("inference: a model that starts nowhere does not speak against the GPU")
{
    auto device = Device(unable_to_use_gpus(true));
    device.source.gpu = {.device = "card", .layers = 31};
    device.source.may_doubt = true;
    auto task = [&]() -> Task<> {
        auto const loaded = co_await device.inference->load({});
        REQUIRE_FALSE(loaded);
        CHECK(loaded.error().text.contains("no model"));
    };
    device.run(task());
    CHECK(device.source.judged == "not to blame");
    CHECK_FALSE(device.source.doubts);
}

TEST_CASE("inference: a model stays on the GPU that its owner named, and does not start where that fails")
{
    auto device = Device(unable_to_use_gpus(false));
    device.source.gpu = {.device = "card", .layers = 31};
    auto task = [&]() -> Task<> {
        auto const loaded = co_await device.inference->load({});
        REQUIRE_FALSE(loaded);
        CHECK(loaded.error().text.contains("no node"));
    };
    device.run(task());
    CHECK(device.source.judged.empty());
}

TEST_CASE("inference: an engine that hangs in an answer is ended")
{
    auto device = Device([](Env& env, ByteStream& channel, ProcessOptions) -> Task<int> {
        std::ignore = co_await send(channel, EngineFrameType::walls, 0, sandbox::proven_walls());
        std::ignore = co_await send(channel, EngineFrameType::ready, 0, R"({"slots":1,"context":1})");
        co_await sleep_for(env, 1h);
        co_return 0;
    });
    auto task = [&]() -> Task<> {
        auto answer = (co_await device.inference->start({}, TaskKind::chat, "{}", {})).value();
        auto const start = device.env.now();
        CHECK((co_await count_chunks(*answer)).error().kind == ErrorKind::closed);
        CHECK(device.env.now() - start < 7s);
    };
    device.run(task());
}

TEST_CASE("inference: an engine that speaks but does not read gets no more requests than a limit")
{
    auto device = Device([](Env& env, ByteStream& channel, ProcessOptions) -> Task<int> {
        std::ignore = co_await send(channel, EngineFrameType::walls, 0, sandbox::proven_walls());
        std::ignore = co_await send(channel, EngineFrameType::ready, 0, R"({"slots":1,"context":1})");
        for (auto written = Result<void>{}; written;) {
            co_await sleep_for(env, 100ms);
            written = co_await send(channel, EngineFrameType::pong, 0, "{}");
        }
        co_return 0;
    });
    auto task = [&]() -> Task<> {
        auto given = 0;
        auto refused = std::optional<Error>{};
        for (; given < 100 && !refused; ++given) {
            auto const answer = co_await device.inference->start({}, TaskKind::chat, std::string(1'000'000, 'x'), {});
            refused = answer ? std::nullopt : std::optional(answer.error());
        }
        CHECK(given < 20);
        CHECK(refused->kind == ErrorKind::unavailable);
        device.inference->unload({});
    };
    device.run(task());
}

TEST_CASE("inference: models that are not here are asked for again and again, and nothing of them is kept")
{
    auto device = Device(scripted(1));
    auto task = [&]() -> Task<> {
        device.source.is_empty = true;
        for (auto attempt = 0; attempt < 3; ++attempt) {
            auto const answer = co_await device.inference->start({}, TaskKind::chat, "{}", {});
            CHECK(answer.error().kind == ErrorKind::not_found);
        }
        device.source.is_empty = false;
        // No pause stands in the way, since nothing was remembered.
        auto const answer = co_await device.inference->start({}, TaskKind::chat, "{}", {});
        CHECK(answer.has_value());
    };
    device.run(task());
}

namespace {

ModelDigest digest(std::uint8_t number)
{
    return ModelDigest::from_bytes(Bytes(ModelDigest::size, std::byte{number})).value();
}

auto const first = digest(1);
auto const second = digest(2);
auto const third = digest(3);

std::vector<ModelDigest> in_memory(Inference const& inference)
{
    auto models = std::vector<ModelDigest>{};
    for (auto const& model : inference.loaded()) {
        models.push_back(model.digest);
    }
    return models;
}

}  // namespace

TEST_CASE("inference: a third model ends the one not used for longest, but never a pinned one")
{
    auto device = Device(scripted(2));
    device.source.need_of_slot = 10;
    device.memory = 80;
    auto task = [&]() -> Task<> {
        for (auto const& model : {first, second}) {
            CHECK((co_await device.inference->load(model)).value().predicted_bytes == 40);
            co_await sleep_for(device.env, 1s);
        }
        CHECK(in_memory(*device.inference) == std::vector{first, second});
        CHECK((co_await device.inference->load(third)).has_value());
        CHECK(in_memory(*device.inference) == std::vector{second, third});

        device.inference->pin(second, true);
        co_await sleep_for(device.env, 1s);
        CHECK((co_await device.inference->load(first)).has_value());
        CHECK(in_memory(*device.inference) == std::vector{first, second});
        CHECK(device.inference->pinned() == std::vector{second});
        co_await sleep_for(device.env, 20s);
        CHECK(in_memory(*device.inference) == std::vector{second});
    };
    device.run(task());
}

TEST_CASE("inference: an engine gets the file of a draft model beside that of its model, and its guesses are added up")
{
    auto second_files = std::vector<bool>{};
    auto device = Device([&](Env&, ByteStream& channel, ProcessOptions options) -> Task<int> {
        second_files.push_back(options.second_file != nullptr);
        std::ignore = co_await send(channel, EngineFrameType::walls, 0, sandbox::proven_walls());
        std::ignore = co_await send(channel, EngineFrameType::ready, 0, R"({"slots":1,"context":64})");
        auto decoder = stream::EngineFrameDecoder(stream::max_to_engine);
        auto buffer = Bytes(4096);
        while (auto const count = (co_await channel.read_some(buffer)).value_or(0)) {
            decoder.push(ByteView(buffer).first(count));
            while (auto frame = decoder.next().value()) {
                if (frame->type == EngineFrameType::request) {
                    auto const timings = "data: {\"timings\":{\"draft_n\":5,\"draft_n_accepted\":3}}\n\n";
                    std::ignore = co_await send(channel, EngineFrameType::chunk, frame->request, timings);
                    std::ignore = co_await send(channel, EngineFrameType::end, frame->request, "");
                }
            }
        }
        co_return 0;
    });
    auto task = [&]() -> Task<> {
        device.source.draft = third;
        CHECK((co_await device.inference->load(first)).value().draft == third);
        for (auto times = 0; times < 2; ++times) {
            auto const answer = (co_await device.inference->start(first, TaskKind::chat, "{}", {})).value();
            CHECK((co_await count_chunks(*answer)).value() == 1);
            CHECK(answer->timings().accepted_tokens == 3);
        }
        CHECK(device.inference->loaded().at(0).drafted_tokens == 10);
        CHECK(device.inference->loaded().at(0).accepted_tokens == 6);

        device.source.draft.reset();
        CHECK((co_await device.inference->load(second)).value().draft == std::nullopt);
        CHECK(second_files == std::vector{true, false});
        CHECK(device.source.opened == std::vector{first, third, second});
    };
    device.run(task());
}

TEST_CASE("inference: a model waits for memory that a busy one holds, and takes it when that has answered")
{
    auto device = Device(scripted(50));
    device.source.need_of_slot = 10;
    device.memory = 40;
    auto task = [&]() -> Task<> {
        auto busy = (co_await device.inference->start(first, TaskKind::chat, "{}", {})).value();
        auto const start = device.env.now();
        auto release = [](Device& used, Generation& answer, std::unique_ptr<Generation>& owner) -> Task<> {
            CHECK((co_await count_chunks(answer)).value() == 50);
            co_await sleep_for(used.env, 1s);
            owner.reset();
        };
        asio::co_spawn(device.env.executor(), release(device, *busy, busy), [](std::exception_ptr const&) {});
        CHECK((co_await device.inference->load(second)).has_value());
        CHECK(device.env.now() - start >= 1s);
        CHECK(in_memory(*device.inference) == std::vector{second});
    };
    device.run(task());
}

TEST_CASE("inference: memory that busy models hold for too long is a typed error, and the next try is not held back")
{
    auto device = Device(scripted(2));
    device.source.need_of_slot = 10;
    device.memory = 40;
    auto task = [&]() -> Task<> {
        auto busy = (co_await device.inference->start(first, TaskKind::chat, "{}", {})).value();
        auto const start = device.env.now();
        auto const failed = co_await device.inference->load(second);
        CHECK(failed.error().kind == ErrorKind::unavailable);
        CHECK(failed.error().text.contains("busy models hold"));
        CHECK(device.env.now() - start >= 60s);
        busy.reset();
        CHECK((co_await device.inference->load(second)).has_value());
    };
    device.run(task());
}

TEST_CASE("inference: memory that cannot suffice is refused at once with both numbers")
{
    auto device = Device(scripted(2));
    device.source.need_of_slot = 5'100'000'000;
    device.memory = 8'300'000'000;
    auto task = [&]() -> Task<> {
        device.inference->pin(first, true);
        CHECK((co_await device.inference->load(first)).value().is_reduced);
        auto const failed = co_await device.inference->load(second);
        CHECK(failed.error().kind == ErrorKind::unavailable);
        CHECK(failed.error().text.contains("needs 5.1 GB of memory, 3.2 GB can be had"));
        device.inference->pin(first, false);
        CHECK((co_await device.inference->load(second)).has_value());
    };
    device.run(task());
}

TEST_CASE("inference: no more models wait for memory than a limit")
{
    auto device = Device(scripted(2));
    device.source.need_of_slot = 10;
    device.memory = 40;
    auto refused = 0;  // outlives those that still wait when the task has ended
    auto task = [&]() -> Task<> {
        auto busy = (co_await device.inference->start(first, TaskKind::chat, "{}", {})).value();
        auto ask = [](Device& used, ModelDigest model, int& count) -> Task<> {
            auto const loaded = co_await used.inference->load(model);
            count += !loaded && loaded.error().text.contains("wait for memory already") ? 1 : 0;
        };
        for (std::uint8_t model = 10; model < 10 + max_waiting_for_memory + 3; ++model) {
            asio::co_spawn(device.env.executor(), ask(device, digest(model), refused),
                           [](std::exception_ptr const&) {});
        }
        co_await sleep_for(device.env, 1s);
        CHECK(refused == 3);
    };
    device.run(task());
}

TEST_CASE("inference: a model stays as long as it was asked to")
{
    auto device = Device(scripted(2));
    auto task = [&]() -> Task<> {
        device.inference->keep(first, Duration::zero());
        device.inference->keep(second, Duration(-1));
        for (auto const& model : {first, second, third}) {
            auto answer = (co_await device.inference->start(model, TaskKind::chat, "{}", {})).value();
            CHECK((co_await count_chunks(*answer)).value() == 2);
        }
        co_await sleep_for(device.env, 1s);
        CHECK(in_memory(*device.inference) == std::vector{second, third});
        CHECK(device.inference->loaded().at(1).leaves.has_value());
        CHECK(device.inference->loaded().at(1).used.resident == 1000);
        co_await sleep_for(device.env, 60s);
        CHECK(in_memory(*device.inference) == std::vector{second});
    };
    device.run(task());
}

TEST_CASE("inference: what an engine gives as its reason can be shown")
{
    auto device = Device([](Env&, ByteStream& channel, ProcessOptions) -> Task<int> {
        std::ignore = co_await send(channel, EngineFrameType::refused, 0,
                                    "no\x1b[2J\nroom\xff" + std::string(100'000, 'x'));
        auto buffer = Bytes(100);
        while ((co_await channel.read_some(buffer)).value_or(0) > 0) {}
        co_return 3;
    });
    auto task = [&]() -> Task<> {
        auto const error = (co_await device.inference->start({}, TaskKind::chat, "{}", {})).error();
        CHECK(error.text.contains("no[2Jroomxxx"));
        CHECK(error.text.size() < 5000);
    };
    device.run(task());
}

TEST_CASE("event parser: a megabyte of breaks, or of letters one by one, takes a moment")
{
    auto parser = EventParser{};
    auto const start = std::chrono::steady_clock::now();
    auto text = std::string{};
    for (auto count = 0; count < 120'000; ++count) {
        text += "data: \n\n";
    }
    CHECK(parser.push(text).empty());
    for (auto count = 0; count < 1'000'000; ++count) {
        std::ignore = parser.push("x");
    }
    CHECK(std::chrono::steady_clock::now() - start < 5s);
}

TEST_CASE("event parser: events are whole whatever the split")
{
    auto const text = std::string(
        "id: 1,2\ndata: {\"a\":1}\n\ndata: [DONE]\n\nid: 3\n\nevent: x\nerror:{\"b\":\ndata: 2}\n\n");
    for (std::size_t step = 1; step < text.size(); ++step) {
        auto parser = EventParser{};
        auto events = std::vector<Event>{};
        for (std::size_t at = 0; at < text.size(); at += step) {
            for (auto& event : parser.push(std::string_view(text).substr(at, step))) {
                events.push_back(std::move(event));
            }
        }
        CHECK(events == std::vector<Event>{{"{\"a\":1}", "1,2"}, {"{\"b\":\n2}", ""}});
        CHECK(parser.held() == 0);
    }
}

TEST_CASE("event parser: the tokens of a part are numbers between commas, and nothing else")
{
    CHECK(tokens_of_id("").value().empty());
    CHECK(tokens_of_id("0,4294967295").value() == std::vector<std::uint32_t>{0, UINT32_MAX});
    for (auto const* wrong : {",", "1,", ",1", "1,,2", "-1", "4294967296", "1;2", " 1", "1 "}) {
        CHECK(tokens_of_id(wrong).error().kind == ErrorKind::malformed);
    }
    auto many = std::string("1");
    for (std::size_t count = 1; count < max_part_tokens; ++count) {
        many += ",1";
    }
    CHECK(tokens_of_id(many).value().size() == max_part_tokens);
    CHECK_FALSE(tokens_of_id(many + ",1"));
}

TEST_CASE("engine errors: a prompt over the context names both numbers")
{
    auto const error = error_of_status(
        400, R"({"error":{"code":400,"type":"exceed_context_size_error","message":"x","n_prompt_tokens":5000,"n_ctx":4096}})");
    CHECK(error.kind == ErrorKind::too_large);
    CHECK(error.text == "the prompt has 5000 tokens, the context holds 4096");
    CHECK(error_of_status(500, "not json").kind == ErrorKind::closed);
    CHECK(error_of_event("{\"choices\":[]}") == std::nullopt);
}

TEST_CASE("engine errors: what a model cannot do blames the request, and a length without numbers keeps its words")
{
    auto const incapable = error_of_status(
        501, R"({"error":{"code":501,"type":"not_supported_error","message":"no ears"}})");
    CHECK(incapable == Error{ErrorKind::malformed, "no ears"});
    auto const too_long = error_of_status(
        400, R"({"error":{"code":400,"type":"exceed_context_size_error","message":"the input_prefix is too long"}})");
    CHECK(too_long == Error{ErrorKind::too_large, "the input_prefix is too long"});
}

TEST_CASE("engine timings: the tokens of all choices are counted, their prompt once")
{
    auto timings = Timings{};
    for (auto choice = 0; choice < 2; ++choice) {
        read_timings(R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":16}})", timings);
    }
    CHECK(timings.prompt_tokens == 7);
    CHECK(timings.completion_tokens == 32);
}

TEST_CASE("engine errors: numbers that no count can be are read as none")
{
    for (auto const* number : {"-5", "1e300", "-1e300", "18446744073709551615"}) {
        auto const text = fmt::format(R"({{"error":{{"code":{0},"message":"x"}},"usage":{{"prompt_tokens":{0}}}}})", number);
        CHECK(error_of_status(500, text).kind == ErrorKind::closed);
        auto timings = Timings{};
        read_timings(text, timings);
        CHECK(timings.prompt_tokens == 0);
    }
}
