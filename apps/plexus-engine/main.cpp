// plexus-engine: one model, behind walls, spoken to over an inherited socket (stream/engine_protocol.h).

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>
#include <unistd.h>

#include "base/env.h"
#include "gpu.h"
#include "llama_adapter.h"
#include "sandbox/confine.h"
#include "stream/engine_protocol.h"

namespace {

using namespace plexus;
using stream::EngineFrame;
using stream::EngineFrameType;

constexpr auto exit_refused = 3;
constexpr std::size_t max_requests = 64;
constexpr std::size_t largest_chunk = stream::max_from_engine - 64;

/// The socket to the daemon; several request threads write.
class Channel {
public:
    void send(EngineFrameType type, std::uint32_t request, ByteView payload)
    {
        auto const frame = stream::encode(type, request, payload);
        auto const lock = std::lock_guard(mutex_);
        for (auto rest = ByteView(frame); !rest.empty();) {
            auto const count = ::write(Processes::channel_descriptor, rest.data(), rest.size());
            if (count < 0 && errno != EINTR) {
                ::_exit(0);  // the daemon has gone
            }
            rest = rest.subspan(count > 0 ? static_cast<std::size_t>(count) : 0);
        }
    }

    void send(EngineFrameType type, std::uint32_t request, std::string_view text) { send(type, request, as_view(text)); }

    /// Waits for the next frame; nothing when the daemon has gone or sent what is no frame.
    std::optional<EngineFrame> receive()
    {
        for (;;) {
            auto frame = decoder_.next();
            if (!frame) {
                return std::nullopt;
            }
            if (*frame) {
                return std::move(**frame);
            }
            auto buffer = std::array<std::byte, 65536>{};
            auto const count = ::read(Processes::channel_descriptor, buffer.data(), buffer.size());
            if (count == 0 || (count < 0 && errno != EINTR)) {
                return std::nullopt;
            }
            decoder_.push(ByteView(buffer).first(count > 0 ? static_cast<std::size_t>(count) : 0));
        }
    }

private:
    std::mutex mutex_;
    stream::EngineFrameDecoder decoder_{stream::max_to_engine};
};

/// Running requests, one thread each.
class Requests {
public:
    Requests(Channel& channel, engine::LlamaAdapter& adapter) : channel_(channel), adapter_(adapter) {}

    void start(EngineFrame frame)
    {
        auto const text = as_text(frame.payload);
        auto const end = text.find('\n');
        if (end == std::string_view::npos) {
            channel_.send(EngineFrameType::failed, frame.request, "a request without a route");
            return;
        }
        auto stop = std::make_shared<std::atomic<bool>>(false);
        {
            auto const lock = std::lock_guard(mutex_);
            if (running_.size() >= max_requests || running_.contains(frame.request)) {
                channel_.send(EngineFrameType::failed, frame.request, "too many requests at once");
                return;
            }
            running_.emplace(frame.request, stop);
        }
        std::thread([this, id = frame.request, route = std::string(text.substr(0, end)),
                     body = std::string(text.substr(end + 1)), stop]() mutable {
            serve(id, route, std::move(body), [stop] { return stop->load(); });
            auto const lock = std::lock_guard(mutex_);
            running_.erase(id);
        }).detach();
    }

    void cancel(std::uint32_t request)
    {
        auto const lock = std::lock_guard(mutex_);
        if (auto const found = running_.find(request); found != running_.end()) {
            found->second->store(true);
        }
    }

    std::size_t running()
    {
        auto const lock = std::lock_guard(mutex_);
        return running_.size();
    }

private:
    void serve(std::uint32_t id, std::string const& route, std::string body, std::function<bool()> const& should_stop)
    {
        auto answer = adapter_.handle(route, std::move(body), should_stop);
        auto head = Bytes(4);
        store_little_endian(head.data(), static_cast<std::uint32_t>(answer.status));
        auto const is_refused = answer.status != 200;
        if (is_refused) {
            append(head, as_view(std::string_view(answer.body).substr(0, largest_chunk)));
        }
        channel_.send(EngineFrameType::head, id, head);
        send_parts(id, is_refused ? std::string_view{} : answer.body, should_stop);
        auto more = static_cast<bool>(answer.next);
        while (more && !should_stop()) {
            auto part = std::string{};
            more = answer.next(part);
            send_parts(id, part, should_stop);
        }
        channel_.send(EngineFrameType::end, id, "");
    }

    void send_parts(std::uint32_t id, std::string_view text, std::function<bool()> const& should_stop)
    {
        while (!text.empty() && !should_stop()) {
            auto const part = text.substr(0, largest_chunk);
            channel_.send(EngineFrameType::chunk, id, part);
            text.remove_prefix(part.size());
        }
    }

    Channel& channel_;
    engine::LlamaAdapter& adapter_;
    std::mutex mutex_;
    std::map<std::uint32_t, std::shared_ptr<std::atomic<bool>>> running_;
};

struct Arguments {
    sandbox::Surroundings surroundings;
    bool only_probes = false;
    bool has_draft = false;
    bool only_looks = false;  ///< for devices
    std::string gpu;          ///< empty: none
    std::vector<sandbox::Door> doors{};  ///< for tests: open without a driver
};

std::uint64_t number_of(std::string const& text)
{
    return std::strtoull(text.c_str(), nullptr, 10);
}

/// The two sides of "first:second".
std::pair<std::string, std::string> halves(std::string const& text)
{
    auto const colon = std::min(text.find(':'), text.size());
    return {text.substr(0, colon), text.substr(std::min(colon + 1, text.size()))};
}

bool set_argument(Arguments& arguments, std::string_view name, std::string const& value)
{
    auto& surroundings = arguments.surroundings;
    auto const [first, second] = halves(value);
    if (name == "--outside") {
        surroundings.outer_namespaces[first] = number_of(second);
    } else if (name == "--daemon") {
        surroundings.daemon = static_cast<int>(number_of(value));
    } else if (name == "--user") {
        surroundings.user = static_cast<unsigned>(number_of(first));
        surroundings.user_group = static_cast<unsigned>(number_of(second));
    } else if (name == "--memory") {
        surroundings.memory_limit_bytes = number_of(value);
    } else if (name == "--group") {
        surroundings.group = value;
    } else if (name == "--weak") {
        surroundings.may_be_weak = value == "yes";
    } else if (name == "--draft") {
        arguments.has_draft = value == "yes";
    } else if (name == "--forbid") {
        surroundings.forbidden_paths.push_back(value);
    } else if (name == "--probe") {
        arguments.only_probes = value == "only";
        arguments.only_looks = value == "devices";
    } else if (name == "--gpu") {
        arguments.gpu = value;
    } else if (name == "--without-layer") {
        surroundings.left_out = sandbox::layer_from(value);
    } else if (auto const door = sandbox::door_from(value); name == "--door" && door) {
        arguments.doors.push_back(*door);
    } else {
        return false;
    }
    return true;
}

/// Where a loader finds the file; empty if there is none.
std::string path_of(int descriptor)
{
    return descriptor < 0 ? std::string{} : fmt::format("/proc/self/fd/{}", descriptor);
}

std::optional<Arguments> parse(int count, char** values)
{
    auto arguments = Arguments{};
    for (auto index = 1; index + 1 < count; index += 2) {
        if (!set_argument(arguments, values[index], values[index + 1])) {
            return std::nullopt;
        }
    }
    if (!arguments.only_probes && !arguments.only_looks) {
        arguments.surroundings.model_descriptor = Processes::file_descriptor;
        arguments.surroundings.draft_descriptor = arguments.has_draft ? Processes::second_file_descriptor : -1;
    }
    return count > 1 && count % 2 == 1 ? std::optional(arguments) : std::nullopt;
}

/// Loads the driver of the GPU of that name. One that computes on the processor needs no node, but makes code; a real one
/// computes itself, and is spoken to by its node.
Result<std::vector<sandbox::Door>> load_driver(std::string const& name)
{
    auto const device = engine::use_device(name);
    if (!device) {
        return std::unexpected(device.error());
    }
    auto const is_software = device->kind == stream::DeviceKind::software;
    return std::vector{is_software ? sandbox::Door::new_code : sandbox::Door::render_nodes};
}

[[noreturn]] void refuse(Channel& channel, std::string const& reason)
{
    channel.send(EngineFrameType::refused, 0, reason);
    ::_exit(exit_refused);
}

void serve_frames(Channel& channel, Requests& requests)
{
    while (auto frame = channel.receive()) {
        switch (frame->type) {
        case EngineFrameType::request: requests.start(std::move(*frame)); break;
        case EngineFrameType::cancel: requests.cancel(frame->request); break;
        case EngineFrameType::ping:
            channel.send(EngineFrameType::pong, frame->request,
                         fmt::format(R"({{"busy":{},"resident_bytes":{}}})", requests.running(),
                                     engine::LlamaAdapter::resident_bytes()));
            break;
        default: ::_exit(0);
        }
    }
    ::_exit(0);
}

}  // namespace

int main(int count, char** values)
{
    std::signal(SIGPIPE, SIG_IGN);
    auto arguments = parse(count, values);
    if (!arguments) {
        fmt::print(stderr, "plexus-engine is started by plexusd only\n");
        return 2;
    }
    auto channel = Channel{};
    if (arguments->only_looks) {
        channel.send(EngineFrameType::devices, 0, stream::to_text(engine::find_devices()));
        ::_exit(0);
    }
    if (!arguments->gpu.empty()) {
        arguments->surroundings.load_driver = [&] { return load_driver(arguments->gpu); };
    } else {
        engine::use_processor();
        if (!arguments->doors.empty()) {
            arguments->surroundings.load_driver = [&] { return Result<std::vector<sandbox::Door>>(arguments->doors); };
        }
    }
    auto const walls = sandbox::raise_walls(arguments->surroundings);
    if (!walls) {
        refuse(channel, walls.error().text);
    }
    channel.send(EngineFrameType::walls, 0, sandbox::to_text(*walls));
    if (arguments->only_probes) {
        ::_exit(0);
    }
    auto const first = channel.receive();
    if (!first || first->type != EngineFrameType::load) {
        return 0;
    }
    auto adapter = engine::LlamaAdapter{};
    auto const ready = adapter.load(path_of(arguments->surroundings.model_descriptor),
                                    path_of(arguments->surroundings.draft_descriptor),
                                    std::string(as_text(first->payload)));
    if (!ready) {
        refuse(channel, ready.error().text);
    }
    if (arguments->surroundings.left_out != sandbox::Layer::seccomp) {
        if (auto sealed = sandbox::seal(); !sealed) {
            refuse(channel, sealed.error().text);
        }
    }
    channel.send(EngineFrameType::ready, 0, *ready);
    auto requests = Requests(channel, adapter);
    auto reader = std::thread([&] { serve_frames(channel, requests); });
    adapter.run();
    reader.join();
    return 0;
}
