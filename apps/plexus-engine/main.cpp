// plexus-engine: one model, behind walls, spoken to over an inherited socket (stream/engine_protocol.h).

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>
#include <unistd.h>

#include "base/env.h"
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

std::optional<sandbox::Surroundings> parse(int count, char** arguments)
{
    auto surroundings = sandbox::Surroundings{};
    surroundings.model_descriptor = Processes::file_descriptor;
    for (auto index = 1; index + 1 < count; index += 2) {
        auto const name = std::string_view(arguments[index]);
        auto const value = std::string(arguments[index + 1]);
        if (name == "--outside") {
            auto const colon = value.find(':');
            auto const inode = colon == std::string::npos ? std::string{} : value.substr(colon + 1);
            surroundings.parent_namespaces[value.substr(0, colon)] = std::strtoull(inode.c_str(), nullptr, 10);
        } else if (name == "--memory") {
            surroundings.memory_limit_bytes = std::strtoull(value.c_str(), nullptr, 10);
        } else if (name == "--forbid") {
            surroundings.forbidden_paths.push_back(value);
        } else if (name == "--without-layer") {
            surroundings.left_out = sandbox::layer_from(value);
        } else {
            return std::nullopt;
        }
    }
    return count % 2 == 1 ? std::optional(surroundings) : std::nullopt;
}

/// Raises the walls and proves them. The first thing the engine does.
Result<void> raise_walls(sandbox::Surroundings const& surroundings)
{
    if (auto apart = sandbox::check_namespaces(surroundings); !apart) {
        return apart;
    }
    if (auto confined = sandbox::confine(surroundings); !confined) {
        return confined;
    }
    return sandbox::probe(surroundings);
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
            channel.send(EngineFrameType::pong, frame->request, fmt::format(R"({{"busy":{}}})", requests.running()));
            break;
        default: ::_exit(0);
        }
    }
    ::_exit(0);
}

}  // namespace

int main(int count, char** arguments)
{
    std::signal(SIGPIPE, SIG_IGN);
    auto const surroundings = parse(count, arguments);
    if (!surroundings) {
        fmt::print(stderr, "plexus-engine is started by plexusd only\n");
        return 2;
    }
    auto channel = Channel{};
    if (auto raised = raise_walls(*surroundings); !raised) {
        refuse(channel, raised.error().text);
    }
    auto const first = channel.receive();
    if (!first || first->type != EngineFrameType::load) {
        return 0;
    }
    auto adapter = engine::LlamaAdapter{};
    auto const ready = adapter.load(fmt::format("/proc/self/fd/{}", Processes::file_descriptor),
                                    std::string(as_text(first->payload)));
    if (!ready) {
        refuse(channel, ready.error().text);
    }
    if (surroundings->left_out != sandbox::Layer::seccomp) {
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
