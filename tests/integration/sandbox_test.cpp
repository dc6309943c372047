// The walls of plexus-engine, on this system: each is there, is proven, and is missed.

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/resource.h>
#include <unistd.h>

#include "base/real_env.h"
#include "sandbox/launcher.h"
#include "sandbox/report.h"
#include "stream/engine_protocol.h"

using namespace plexus;
using namespace plexus::sandbox;
using stream::EngineFrameType;

namespace {

/// What an engine said before it ended, or before it waited for its first frame.
struct Said {
    std::optional<Report> report;
    std::string refusal;
};

/// A file in the place of a model; no engine here gets as far as reading it.
class ModelFile {
public:
    ModelFile() { ::close(::mkstemp(path_.data())); }
    ~ModelFile() { std::filesystem::remove(path_); }
    std::string const& path() const { return path_; }

private:
    std::string path_ = "/tmp/plexus-model-XXXXXX";
};

/// Starts engines one by one.
class Engines {
public:
    explicit Engines(std::optional<Layer> left_out = {}) : left_out_(left_out) { launcher_.leave_out(left_out); }

    Launcher& launcher() { return launcher_; }
    /// Called with the path of the model once it is open.
    void after_opening(std::function<void(std::string const&)> action) { after_opening_ = std::move(action); }
    void forbid(std::vector<std::string> paths) { forbidden_ = std::move(paths); }
    /// For all that are started: the door of a GPU, without one, or the GPU of that name.
    void open(Door door) { added_ = {"--door", std::string(to_string(door))}; }
    void use_gpu(std::string const& name) { added_ = {"--gpu", name}; }

    /// Raises and probes the walls without a model, or with one, and a draft model beside it.
    Said start(bool with_model = false, bool with_draft = false)
    {
        auto said = Said{};
        auto options = ProcessOptions{};
        auto const* const program = std::getenv("PLEXUS_ENGINE_PROGRAM");
        options.program = program != nullptr ? program : PLEXUS_ENGINE_PROGRAM;
        options.forbidden_paths = forbidden_;
        options.memory_limit_bytes = 1ULL << 30;
        if (with_model) {
            options.file = env_.disk().open(model_.path()).value();
            if (with_draft) {
                options.second_file = env_.disk().open(draft_.path()).value();
            }
            if (after_opening_) {
                after_opening_(model_.path());
            }
        } else {
            options.arguments = {"--probe", "only"};
        }
        options.arguments.insert(options.arguments.end(), added_.begin(), added_.end());
        if (left_out_) {
            options.arguments.insert(options.arguments.end(), {"--without-layer", std::string(to_string(*left_out_))});
        }
        asio::co_spawn(env_.executor(), listen(std::move(options), said), [&](std::exception_ptr exception) {
            env_.stop();
            if (exception) {
                std::rethrow_exception(exception);
            }
        });
        env_.run();
        return said;
    }

private:
    Task<> listen(ProcessOptions options, Said& said)
    {
        auto process = launcher_.start(std::move(options));
        if (!process) {
            said.refusal = process.error().text;
            co_return;
        }
        auto decoder = stream::EngineFrameDecoder(stream::max_from_engine);
        auto buffer = Bytes(4096);
        while (!said.report && said.refusal.empty()) {
            auto const count = (co_await (*process)->channel().read_some(buffer)).value_or(0);
            if (count == 0) {
                said.refusal = "the engine ended without a word";
                break;
            }
            decoder.push(ByteView(buffer).first(count));
            if (auto const frame = decoder.next().value()) {
                auto const text = std::string(as_text(frame->payload));
                if (frame->type == EngineFrameType::walls) {
                    said.report = parse_report(text, !added_.empty()).value();
                } else {
                    said.refusal = text;
                }
            }
        }
    }

    RealEnv env_;
    ModelFile model_;
    ModelFile draft_;
    Launcher launcher_{env_.context()};
    std::optional<Layer> left_out_;
    std::vector<std::string> forbidden_;
    std::vector<std::string> added_;
    std::function<void(std::string const&)> after_opening_;
};

/// What a device keeps from its engines: its key, its log and its store.
class Secrets {
public:
    Secrets()
    {
        auto text = std::string("/tmp/plexus-secrets-XXXXXX");
        folder_ = ::mkdtemp(text.data());
        std::filesystem::create_directory(folder_ / "models");
        for (auto const* name : {"identity.key", "membership.log", "models/file"}) {
            auto const file = folder_ / name;
            std::ofstream(file) << "secret";
            std::filesystem::permissions(file, std::filesystem::perms::owner_read);
        }
    }
    ~Secrets() { std::filesystem::remove_all(folder_); }

    std::vector<std::string> paths() const
    {
        auto paths = std::vector<std::string>{};
        for (auto const* name : {"identity.key", "membership.log", "models", "models/file"}) {
            paths.push_back(folder_ / name);
        }
        return paths;
    }

private:
    std::filesystem::path folder_;
};

/// Something for the engine to find open when descriptors are not closed.
class StrayDescriptor {
public:
    ~StrayDescriptor() { ::close(value_); }

private:
    int value_ = ::dup(STDERR_FILENO);
};

/// In ms; what waits for the processor of a busy device does not count.
double computing_of_ended_engines()
{
    auto used = rusage{};
    ::getrusage(RUSAGE_CHILDREN, &used);
    auto const in_ms = [](timeval time) {
        return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
    };
    return in_ms(used.ru_utime) + in_ms(used.ru_stime);
}

bool is_root()
{
    return ::geteuid() == 0;
}

/// Where with_render_node.sh has put one, with no driver behind it.
bool has_render_node()
{
    return std::filesystem::exists("/dev/dri/renderD128");
}

void check_grade_b(Said const& said, Door door)
{
    CAPTURE(said.refusal);
    REQUIRE(said.report);
    CHECK(said.report->grade() == Grade::doors);
    CHECK(said.report->doors == std::vector{door});
    CHECK(said.report->probes >= 100);
    for (auto const layer : said.report->missing) {
        CHECK(layer == Layer::group);
    }
}

/// Each wall but those that only some users or systems have.
void check_that_each_wall_is_missed(std::function<void(Engines&)> const& prepare)
{
    for (auto const& known : layer_names) {
        CAPTURE(known.name);
        auto const stray = StrayDescriptor{};
        if (known.layer == Layer::group || (known.layer == Layer::user_namespace && !is_root())) {
            continue;
        }
        auto engines = Engines(known.layer);
        prepare(engines);

        auto const said = engines.start(true);

        CHECK_FALSE(said.report);
        CHECK(said.refusal.contains(fmt::format("the wall \"{}\" is open", known.name)));
    }
}

}  // namespace

TEST_CASE("sandbox: on this system every wall is raised, proven by at least 100 attempts, and of grade A")
{
    auto engines = Engines{};

    auto const without = engines.start(false);
    auto const with = engines.start(true);
    auto const with_two = engines.start(true, true);

    for (auto const& said : {without, with, with_two}) {
        CAPTURE(said.refusal);
        REQUIRE(said.report);
        CHECK(said.report->grade() == Grade::whole);
        CHECK(said.report->probes >= 100);
        for (auto const layer : said.report->missing) {
            CHECK(layer == Layer::group);
        }
    }
    MESSAGE("probes: " << without.report->probes);
    CHECK(without.report->digest != 0);
    CHECK(with_two.report->digest == with.report->digest);
}

TEST_CASE("sandbox: the same attempts have the same digest, others another")
{
    auto engines = Engines{};
    auto const first = engines.start();
    auto const second = engines.start();
    engines.forbid({"/etc/group"});
    auto const third = engines.start();

    CHECK(first.report->digest == second.report->digest);
    CHECK(first.report->digest != third.report->digest);
}

TEST_CASE("sandbox: with any one wall left out the engine refuses to start and says which")
{
    for (auto const& known : layer_names) {
        CAPTURE(known.name);
        auto const stray = StrayDescriptor{};
        if (known.layer == Layer::group || (known.layer == Layer::user_namespace && !is_root())) {
            continue;  // see the cases below
        }

        auto const said = Engines(known.layer).start();

        CHECK_FALSE(said.report);
        CHECK(said.refusal.contains(fmt::format("the wall \"{}\" is open", known.name)));
    }
}

TEST_CASE("sandbox: a device that makes code gets grade B: code, but none that can be written, and no control calls")
{
    auto plain = Engines{};
    auto engines = Engines{};
    engines.open(Door::new_code);

    auto const said = engines.start(true);

    check_grade_b(said, Door::new_code);
    CHECK(said.report->digest != plain.start(true).report->digest);
    auto open = Engines(Layer::seccomp);
    open.open(Door::new_code);
    auto const reason = open.start().refusal;
    CHECK(reason.contains("make memory code that can be written"));
    CHECK(reason.contains("control a device"));
}

TEST_CASE("sandbox: a GPU gets grade B: its render node lies in the root, and nothing else of /dev" *
          doctest::skip(!has_render_node()))
{
    auto engines = Engines{};
    engines.open(Door::render_nodes);

    check_grade_b(engines.start(true), Door::render_nodes);
    check_grade_b(engines.start(false), Door::render_nodes);
    auto open = Engines(Layer::root);
    open.open(Door::render_nodes);
    CHECK(open.start().refusal.contains("read /dev/null"));
    auto unlocked = Engines(Layer::landlock);
    unlocked.open(Door::render_nodes);
    CHECK(unlocked.start().refusal.contains("look into /dev/dri"));
}

TEST_CASE("sandbox: with a door open, each wall that is left out is missed as well")
{
    check_that_each_wall_is_missed(
        [](Engines& engines) { engines.open(has_render_node() ? Door::render_nodes : Door::new_code); });
}

TEST_CASE("sandbox: an engine is not started for a GPU that is not there")
{
    auto engines = Engines{};
    engines.use_gpu("no such card");

    CHECK(engines.start().refusal.contains("no such card"));
}

TEST_CASE("sandbox: without a user namespace an ordinary user gets no other, and no engine" * doctest::skip(is_root()))
{
    auto const said = Engines(Layer::user_namespace).start();

    CHECK(said.refusal.contains("allow unprivileged user namespaces"));
}

TEST_CASE("sandbox: walls that the system refuses make grade C, if the owner allows it, and are named")
{
    for (auto const layer : {Layer::network_namespace, Layer::ipc_namespace, Layer::root, Layer::landlock}) {
        CAPTURE(to_string(layer));
        auto engines = Engines(layer);
        engines.launcher().allow_weak_walls(true);

        auto const said = engines.start(true);

        CAPTURE(said.refusal);
        REQUIRE(said.report);
        CHECK(said.report->grade() == Grade::weak);
        CHECK(std::ranges::find(said.report->missing, layer) != said.report->missing.end());
    }
}

TEST_CASE("sandbox: no owner can allow that another wall is missing")
{
    for (auto const layer : {Layer::descriptors, Layer::no_new_privileges, Layer::parent_death, Layer::limits,
                             Layer::capabilities, Layer::undumpable, Layer::seccomp}) {
        CAPTURE(to_string(layer));
        auto const stray = StrayDescriptor{};
        auto engines = Engines(layer);
        engines.launcher().allow_weak_walls(true);

        CHECK(engines.start().refusal.contains(fmt::format("the wall \"{}\" is open", to_string(layer))));
    }
}

TEST_CASE("sandbox: the key file, the store and /etc/shadow are not in the engine's root, and it tried them")
{
    auto const secrets = Secrets{};
    auto engines = Engines{};
    engines.forbid(secrets.paths());
    CHECK(engines.start(true).report.has_value());

    auto open = Engines(Layer::root);
    open.forbid(secrets.paths());
    auto const reason = open.start().refusal;

    for (auto const& path : secrets.paths()) {
        CAPTURE(path);
        CHECK(reason.contains("read " + path));
    }
    CHECK((!is_root() || reason.contains("read /etc/shadow")));
    CHECK(reason.contains("write /tmp/plexus-probe"));
    CHECK_FALSE(reason.contains("landlock"));
}

TEST_CASE("sandbox: a model whose name has gone, or means another file by now, is not put into the root")
{
    auto gone = Engines{};
    gone.after_opening([](std::string const& path) { std::filesystem::remove(path); });
    auto other = Engines{};
    other.after_opening([](std::string const& path) {
        std::filesystem::remove(path);
        std::ofstream(path) << "another";
    });

    CHECK(gone.start(true).refusal.contains("the wall \"root\" cannot be raised: mount the model"));
    CHECK(other.start(true).refusal.contains("mount the model"));
}

TEST_CASE("sandbox: sockets, a shell and tracing the daemon are kept away by seccomp, and the engine tried them")
{
    auto const reason = Engines(Layer::seccomp).start().refusal;
    for (auto const* attempt :
         {"make a IPv4 socket", "make a IPv6 socket", "make a Unix socket", "make a netlink socket", "connect", "bind",
          "fork", "execute a shell", "trace the daemon", "read the daemon's memory", "signal the daemon",
          "set up io_uring", "call the kernel unfiltered", "control a device", "map new code",
          "make a user namespace"}) {
        CAPTURE(attempt);
        CHECK(reason.contains(attempt));
    }
}

TEST_CASE("sandbox: the daemon's process and ports are out of reach by namespaces alone, and the engine tried them")
{
    CHECK(Engines(Layer::process_namespace).start().refusal.contains("signal the daemon by its number"));
    CHECK(Engines(Layer::network_namespace).start().refusal.contains("reach the device's ports over UDP"));
    CHECK(Engines(Layer::landlock).start().refusal.contains("look into the root folder"));
}

TEST_CASE("sandbox: to start, raise every wall and prove it takes at most 20 ms of computing" *
          doctest::skip(!Launcher::can_limit_memory))
{
    constexpr auto rounds = 21;
    auto engines = Engines{};
    auto times = std::vector<double>{};
    auto const before = computing_of_ended_engines();
    for (auto round = 0; round < rounds; ++round) {
        auto const start = std::chrono::steady_clock::now();
        REQUIRE(engines.start(true).report);
        times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    auto const computing = (computing_of_ended_engines() - before) / rounds;
    std::ranges::sort(times);

    MESSAGE("start to proof and end, ms: least " << times.front() << ", median " << times[rounds / 2]
                                                 << ", of computing " << computing);
    CHECK(computing < 20);
}
