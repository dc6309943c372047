#include "node/daemon.h"

#include "api/api.h"
#include "api/token.h"
#include "base/real_env.h"
#include "base/real_http.h"
#include "node/device.h"
#include "node/platform.h"
#include "node/services.h"
#include "sandbox/launcher.h"

namespace plexus::node {

namespace {

constexpr unsigned private_folder = 0700;

/// What to do about a file or folder that cannot be used.
std::string next_step_for(Error const& error, std::filesystem::path const& place)
{
    switch (error.kind) {
    case ErrorKind::out_of_space: return fmt::format("make room on the disk of {}", place.string());
    case ErrorKind::not_allowed: return fmt::format("chmod -R go-rwx {}   (as the user that owns it)", place.string());
    default: return fmt::format("put {} in order, then: plexus up", place.string());
    }
}

/// One daemon: its environment, its device, its doors.
class Daemon {
public:
    explicit Daemon(DaemonOptions options)
        : options_(std::move(options)), env_(std::max(core_count(), 2U) - 1), launcher_(env_.context()),
          http_(env_.context())
    {
        env_.use_processes(launcher_);
        env_.use_http(http_);
        launcher_.allow_weak_walls(options_.config.engine.allow_weak_sandbox);
    }

    std::optional<Failure> run()
    {
        raise_descriptor_limit();
        if (auto failure = prepare()) {
            return failure;
        }
        env_.on_termination([this] { end(); });
        notify_service_manager("READY=1\nSTATUS=ready");
        device_->sandbox().start();
        log::info("the device is ready", {{"device", device_->name()}, {"port", services_->api_port()}});
        trim_memory();
        env_.run();
        return std::nullopt;
    }

private:
    std::optional<Failure> prepare()
    {
        auto const& paths = options_.paths;
        for (auto const& folder : {paths.data, paths.state, paths.cache, paths.socket.parent_path()}) {
            if (auto made = env_.disk().make_folders(folder, private_folder); !made) {
                return Failure{"A folder of this device cannot be made.", made.error().text,
                               "make room for it, or set PLEXUS_HOME to a folder that is yours"};
            }
        }
        auto lock = InstanceLock::take(paths.lock_file());
        if (!lock && lock.error().kind == ErrorKind::conflict) {
            return Failure{"Plexus is running already.", lock.error().text, "plexus status"};
        }
        if (!lock) {
            return Failure{"The files of this device cannot be written.", lock.error().text,
                           "make them yours to write, or set PLEXUS_HOME to a folder that is"};
        }
        lock_.emplace(std::move(*lock));
        use_groups();
        if (auto failure = open_device()) {
            return failure;
        }
        return open_doors();
    }

    void use_groups()
    {
        if (auto groups = sandbox::EngineGroups::take()) {
            launcher_.use_groups(std::move(*groups));
        } else {
            log::debug("engines are limited without control groups", {{"reason", groups.error().text}});
        }
    }

    std::optional<Failure> open_device()
    {
        auto device = Device::open(env_, {.paths = options_.paths,
                                          .config = options_.config,
                                          .name = options_.config.mesh.name.empty() ? host_name() : options_.config.mesh.name,
                                          .engine_program = engine_program(),
                                          .cores = core_count()});
        if (!device) {
            return Failure{"This device cannot start.", device.error().text,
                           next_step_for(device.error(), options_.paths.data)};
        }
        device_ = std::move(*device);
        if (auto started = device_->start(); !started) {
            auto const next = started.error().kind == ErrorKind::conflict
                                  ? "set another port: PLEXUS_MESH_PORT=7698 plexus up"
                                  : "check mesh.address in " + options_.paths.config_file.string();
            return abandon({"The mesh port cannot be opened.", started.error().text, next});
        }
        return std::nullopt;
    }

    std::filesystem::path engine_program() const
    {
        auto const& given = options_.config.engine.program;
        return given.empty() ? program_folder() / "plexus-engine" : std::filesystem::path(given);
    }

    std::optional<Failure> open_doors()
    {
        auto token = api::load_or_make_token(env_, options_.paths.api_token());
        if (!token) {
            return abandon({"The API token cannot be used.", token.error().text,
                            next_step_for(token.error(), options_.paths.api_token())});
        }
        auto& network = env_.network();
        auto loopback = network.listen({asio::ip::make_address("127.0.0.1"), options_.config.api.port});
        if (!loopback) {
            return abandon(port_failure(loopback.error()));
        }
        auto local = network.listen_local(options_.paths.socket);
        if (!local) {
            auto const is_long = local.error().kind == ErrorKind::malformed;
            return abandon({"The local socket cannot be opened.", local.error().text,
                            is_long ? "set PLEXUS_HOME to a shorter path, or give one with --socket"
                                    : next_step_for(local.error(), options_.paths.socket)});
        }
        auto const port = (*loopback)->local_endpoint().port;
        services_ = std::make_unique<DeviceServices>(*device_, port, [this] { end(); });
        auto rules = api::GuardRules{.port = port,
                                     .ollama_needs_token = options_.config.api.ollama_token,
                                     .origins = options_.config.api.origins,
                                     .token = std::move(*token)};
        api_ = std::make_unique<api::Api>(env_, services_->all(), api::ApiOptions{.guard = std::move(rules), .http = {}});
        if (auto second = network.listen({asio::ip::make_address("::1"), port})) {
            api_->serve_on(std::move(*second), api::Door::loopback);
        }
        api_->serve_on(std::move(*loopback), api::Door::loopback);
        api_->serve_on(std::move(*local), api::Door::local_socket);
        return open_ollama_door();
    }

    /// The port where programs look for Ollama, if the owner wants it.
    std::optional<Failure> open_ollama_door()
    {
        auto const& wanted = options_.config.api;
        if (wanted.ollama == Config::Door::off) {
            return std::nullopt;
        }
        auto& network = env_.network();
        auto first = network.listen({asio::ip::make_address("127.0.0.1"), wanted.ollama_port});
        if (!first && wanted.ollama == Config::Door::automatic) {
            log::info("the port of Ollama is left alone", {{"reason", first.error().text}});
            return std::nullopt;
        }
        if (!first) {
            return abandon_doors({fmt::format("The port {} of Ollama cannot be opened.", wanted.ollama_port),
                                  first.error().text, "end Ollama, or set api.ollama to auto or off"});
        }
        auto const port = (*first)->local_endpoint().port;
        api_->serve_on(std::move(*first), api::Door::ollama);
        if (auto second = network.listen({asio::ip::make_address("::1"), port})) {
            api_->serve_on(std::move(*second), api::Door::ollama);
        }
        log::info("Ollama's API is served", {{"port", port}});
        return std::nullopt;
    }

    Failure port_failure(Error const& error) const
    {
        auto const is_taken = error.kind == ErrorKind::conflict;
        return {
            fmt::format("The API port {} {}.", options_.config.api.port, is_taken ? "is taken" : "cannot be opened"),
            error.text, "plexus up --port 0   (or set api.port in " + options_.paths.config_file.string() + ")"};
    }

    /// Stops what has started before the failure is told.
    Failure abandon(Failure failure)
    {
        asio::co_spawn(env_.executor(), device_->stop(), [this](std::exception_ptr const&) { env_.stop(); });
        env_.run();
        return failure;
    }

    /// The same, once the API serves.
    Failure abandon_doors(Failure failure)
    {
        asio::co_spawn(env_.executor(), stop(), [this](std::exception_ptr const&) { env_.stop(); });
        env_.run();
        return failure;
    }

    /// Ends in order, once.
    void end()
    {
        if (std::exchange(ending_, true)) {
            return;
        }
        notify_service_manager("STOPPING=1");
        log::info("the device is stopping");
        asio::co_spawn(env_.executor(), stop(), [this](std::exception_ptr const&) { env_.stop(); });
    }

    Task<> stop()
    {
        co_await api_->stop();
        co_await device_->stop();
        std::ignore = env_.disk().remove(options_.paths.socket);
    }

    DaemonOptions options_;
    RealEnv env_;
    sandbox::Launcher launcher_;
    RealHttp http_;
    std::optional<InstanceLock> lock_;
    std::unique_ptr<Device> device_;
    std::unique_ptr<DeviceServices> services_;
    std::unique_ptr<api::Api> api_;
    bool ending_ = false;
};

}  // namespace

std::optional<Failure> run_daemon(DaemonOptions options)
{
    log::set_level(options.config.log_level);
    return Daemon(std::move(options)).run();
}

}  // namespace plexus::node
