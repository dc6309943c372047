#include "simulation/simulated_device.h"

#include "models/gguf_testing.h"

namespace plexus::simulation {

using namespace std::chrono_literals;
using inference::TaskKind;
using scheduling::TaskEvent;

namespace {

constexpr auto stop_bound = 10s;
constexpr auto grace = 1s;            // beyond a task's own deadline
constexpr auto endless_bound = 120s;  // for a task without a deadline
constexpr auto engine_program = "/usr/bin/plexus-engine";

node::DeviceOptions options_of(std::string const& name)
{
    auto options = node::DeviceOptions{};
    options.paths.data = "/data";
    options.paths.state = "/state";
    options.paths.cache = "/cache";
    options.paths.socket = "/run/plexus.sock";
    options.config.mesh.name = name;
    options.config.mesh.port = SimulatedDevice::port;
    options.config.engine.gpu = "none";
    options.name = name;
    options.engine_program = engine_program;
    return options;
}

bool is_promised(ErrorKind kind)
{
    return kind == ErrorKind::not_found || kind == ErrorKind::unavailable || kind == ErrorKind::closed ||
           kind == ErrorKind::timed_out;
}

/// What is still to come of an answer.
class Expected {
public:
    Expected(crypto::Digest32 const& model, TaskKind kind, std::string_view body)
        : streams_(inference::is_streamed(kind))
    {
        std::ranges::copy(expected_parts(model, kind, body), std::back_inserter(parts_));
    }

    /// Whether the chunk is what comes next: a whole part, or any bytes of a document.
    bool take(std::string_view chunk)
    {
        while (!streams_ && !parts_.empty() && chunk.starts_with(parts_.front())) {
            chunk.remove_prefix(parts_.front().size());
            parts_.pop_front();
        }
        if (!streams_ && chunk.empty()) {
            return true;
        }
        if (parts_.empty() || !(streams_ ? parts_.front() == chunk : parts_.front().starts_with(chunk))) {
            return false;
        }
        parts_.front().erase(0, chunk.size());
        if (parts_.front().empty()) {
            parts_.pop_front();
        }
        return true;
    }

    std::size_t left() const { return parts_.size(); }

private:
    bool streams_;
    std::deque<std::string> parts_;
};

}  // namespace

ModelFile tiny_model(std::string name)
{
    auto bytes = models::GgufBuilder().text("general.name", name).build();
    auto const digest = crypto::sha256(bytes);
    return {std::move(name), std::move(bytes), digest};
}

SimulatedDevice::SimulatedDevice(sim::World& world, std::string name, Findings& findings)
    : world_(world), name_(std::move(name)), findings_(findings), env_(world.add_device(name_))
{
    env_.set_program(engine_program, scripted_engine(mood_));
    std::ignore = env_.disk().make_folders("/state", 0700);
    mood_->pause = Duration(1ms) * static_cast<std::int64_t>(2 + env_.random("mood").below(30));
}

multiformats::Multiaddr SimulatedDevice::address() const
{
    return multiformats::Multiaddr::from_tcp({env_.address(), port});
}

bool SimulatedDevice::open()
{
    auto opened = node::Device::open(env_, options_of(name_));
    if (!opened) {
        auto const kind = opened.error().kind;
        findings_.check(kind == ErrorKind::io || kind == ErrorKind::out_of_space, "a device starts again after any crash",
                        [&] { return fmt::format("{}: {}", name_, opened.error().text); });
        return false;
    }
    auto device = std::move(*opened);
    auto const started = device->start();
    findings_.check(started.has_value(), "a device starts again after any crash",
                    [&] { return fmt::format("{}: {}", name_, started.error().text); });
    auto const& id = device->membership().self();
    findings_.check(id_.empty() || id_ == id, "a device keeps its identity", [&] { return name_; });
    id_ = id;
    for (auto const& model : models_) {
        findings_.check(device->store().find(model) != nullptr, "an imported model is never lost",
                        [&] { return fmt::format("{} on {}", model, name_); });
    }
    epochs_.push_back(device->catalog().entries().front().snapshot->boot_epoch);
    clients_ = std::make_unique<TaskScope>(env_.executor());
    device_ = std::move(device);
    return true;
}

Task<> SimulatedDevice::stop()
{
    ending_ = true;
    auto const begin = world_.now();
    co_await clients_->join();
    co_await device_->stop();
    auto const took = world_.now() - begin;
    findings_.check(took <= stop_bound, "a device stops in order", [&] {
        return fmt::format("{} took {} s", name_, std::chrono::duration<double>(took).count());
    });
    findings_.check(open_tasks_.empty(), "a device stops in order", [&] { return name_ + " left tasks behind"; });
    open_tasks_.clear();
    device_.reset();
    clients_.reset();
    ending_ = false;
    down_since_ = begin;
}

Task<> SimulatedDevice::crash(bool silent)
{
    env_.crash(silent);
    co_await stop();
    env_.restart();
}

Task<bool> SimulatedDevice::import(ModelFile const& model)
{
    auto const path = "/downloads/" + model.name + ".gguf";
    env_.put_file(path, model.bytes);
    auto const imported = co_await device_->store().import_file(path, model.name, [](auto) {});
    if (imported) {
        models_.push_back(model.name);
    }
    co_return imported.has_value();
}

Task<bool> SimulatedDevice::join(std::string link)
{
    auto const joined = co_await device_->membership().join(std::move(link), env_.deadline_in(20s));
    if (joined) {
        findings_.check(device_->membership().find(*joined).has_value(), "who joined is in the mesh of the inviter",
                        [&] { return name_; });
    } else {
        log::debug("a join failed", {{"device", name_}, {"why", joined.error().text}});
    }
    co_return joined.has_value();
}

/// Counts a task as open while it lives.
class SimulatedDevice::Asking {
public:
    Asking(SimulatedDevice& device, Duration limit) : device_(device), number_(++device.asked_)
    {
        auto const bound = limit > Duration::zero() ? limit + grace : Duration(endless_bound);
        device_.open_tasks_[number_] = device_.world_.now() + bound;
    }
    Asking(Asking const&) = delete;
    ~Asking() { device_.open_tasks_.erase(number_); }

    std::uint64_t number() const { return number_; }

private:
    SimulatedDevice& device_;
    std::uint64_t number_;
};

Task<Result<void>> SimulatedDevice::follow(ModelFile const& model, TaskKind kind, std::string prompt, Duration limit)
{
    auto const asking = Asking(*this, limit);
    auto const body = fmt::format(R"({{"stream":true,"messages":[{{"role":"user","content":"{}"}}]}})", prompt);
    auto expected = Expected(model.digest, kind, body);
    auto task = device_->scheduler().start(
        {.request_id = fmt::format("{}-{}", name_, asking.number()),
         .model = model.name,
         .kind = kind,
         .body = body,
         .deadline = limit > Duration::zero() ? env_.deadline_in(limit) : Deadline::never()});
    if (!task) {
        co_return std::unexpected(task.error());
    }
    for (;;) {
        auto const event = co_await (*task)->next();
        if (!event) {
            co_return std::unexpected(event.error());
        }
        if (event->kind == TaskEvent::Kind::chunk) {
            findings_.check(expected.take(event->text), "an answer is exact", [&] {
                return fmt::format("task {} of {}, {} parts left: {}", asking.number(), name_, expected.left(),
                                   event->text.substr(0, 200));
            });
        } else if (event->kind == TaskEvent::Kind::finished) {
            findings_.check(expected.left() == 0, "an answer is whole", [&] {
                return fmt::format("task {} of {}: {} parts are missing", asking.number(), name_, expected.left());
            });
            co_return Result<void>{};
        }
    }
}

void SimulatedDevice::check_end(Result<void> const& end)
{
    ++(end ? answered_ : failed_);
    world_.trace(end ? "answered" : end.error().text, asked_);
    findings_.check(end || (is_promised(end.error().kind) && !end.error().text.empty()), "errors are of the promised kinds",
                    [&] { return fmt::format("{}: {} {}", name_, to_string(end.error().kind), end.error().text); });
    if (!end) {
        log::debug("a task failed", {{"device", name_}, {"kind", to_string(end.error().kind)}, {"why", end.error().text}});
    }
}

Task<> SimulatedDevice::ask_in_background(ModelFile const& model, TaskKind kind, std::string prompt, Duration limit)
{
    auto const end = co_await follow(model, kind, std::move(prompt), limit);
    check_end(end);
}

void SimulatedDevice::ask(ModelFile const& model, TaskKind kind, std::string prompt, Duration limit)
{
    clients_->spawn("ask", ask_in_background(model, kind, std::move(prompt), limit));
}

Task<bool> SimulatedDevice::ask_and_wait(ModelFile const& model, std::string prompt, Duration limit)
{
    auto const end = co_await follow(model, TaskKind::chat, std::move(prompt), limit);
    check_end(end);
    co_return end.has_value();
}

void SimulatedDevice::check_for_hanging_tasks()
{
    for (auto& [number, bound] : open_tasks_) {
        findings_.check(world_.now() <= bound, "no task hangs", [&] { return fmt::format("task {} of {}", number, name_); });
        bound = world_.now() <= bound ? bound : Time::max();
    }
}

membership::Log const* SimulatedDevice::log_on_disk()
{
    auto bytes = env_.disk().read_file("/data/membership.log", membership::max_log_bytes + 64);
    if (!bytes || *bytes == seen_log_) {
        return log_ ? &*log_ : nullptr;
    }
    auto log = membership::Log::decode(*bytes);
    if (!log) {
        findings_.add("the membership log on disk can be read", fmt::format("{}: {}", name_, log.error().text));
        return nullptr;
    }
    if (log_ && log_->mesh() != log->mesh()) {
        findings_.check(log_->size() == 1, "a membership log only grows", [&] { return name_ + " left its mesh"; });
    } else if (log_) {
        for (auto const* entry : log_->missing_from({})) {
            findings_.check(log->contains(entry->id), "a membership log only grows", [&] { return name_ + " lost an entry"; });
        }
    }
    seen_log_ = std::move(*bytes);
    log_ = std::move(*log);
    return &*log_;
}

}  // namespace plexus::simulation
