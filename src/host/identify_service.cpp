#include "host/identify_service.h"

#include "base/log.h"
#include "host/host_stream.h"
#include "stream/messages.h"

namespace plexus::host {

namespace {

constexpr auto identify_limit = std::chrono::seconds(5);
constexpr auto news_pause = std::chrono::milliseconds(100);  // several changes at a time are told together
constexpr std::size_t max_news_heard = 4;                    // pushes at a time on a connection

}  // namespace

IdentifyService::IdentifyService(Env& env, AddressBook& book, Describe describe)
    : env_(env), book_(book), describe_(std::move(describe))
{
}

Task<> IdentifyService::serve(std::unique_ptr<Stream> stream)
{
    auto const& connection = static_cast<HostStream&>(*stream).connection();
    auto const message = encode(describe_to(connection));
    auto const written = co_await stream::write_message(*stream, message);
    if (written) {
        std::ignore = co_await stream->close_write();
    }
}

Task<> IdentifyService::serve_push(std::unique_ptr<Stream> stream)
{
    struct Heard {
        Connection& connection;
        explicit Heard(Connection& from) : connection(from) { ++connection.news_heard; }
        ~Heard() { --connection.news_heard; }
    };
    auto& connection = static_cast<HostStream&>(*stream).connection();
    auto const heard = Heard(connection);
    if (connection.news_heard > max_news_heard) {
        co_return;
    }
    auto const deadline = env_.deadline_in(identify_limit);
    auto const identify = co_await with_deadline(env_, deadline, read_identify(*stream));
    if (identify) {
        learn(connection, *identify);
        std::ignore = co_await stream->close_write();
    }
}

void IdentifyService::ask(std::shared_ptr<Connection> const& connection)
{
    connection->tasks().spawn("identify " + connection->peer().short_text(), ask_now(connection));
}

Task<> IdentifyService::ask_now(std::shared_ptr<Connection> connection)
{
    auto const id = connection->open();
    if (!id) {
        co_return;
    }
    auto stream = HostStream(connection, *id, std::string(identify_protocol));
    auto const deadline = env_.deadline_in(identify_limit);
    auto const closed = co_await stream.close_write();
    if (!closed) {
        co_return;
    }
    auto const identify = co_await with_deadline(env_, deadline, read_identify(stream));
    if (identify) {
        learn(*connection, *identify);
    }
}

void IdentifyService::push(std::shared_ptr<Connection> const& connection)
{
    auto const& spoken = connection->protocols;
    if (connection->admission() == Admission::member &&
        std::ranges::find(spoken, identify_push_protocol) != spoken.end() &&
        !std::exchange(connection->has_news, true)) {
        connection->tasks().spawn("push identity to " + connection->peer().short_text(), push_soon(connection));
    }
}

Task<> IdentifyService::push_soon(std::shared_ptr<Connection> connection)
{
    co_await sleep_for(env_, news_pause);
    connection->has_news = false;
    auto const id = connection->open();
    if (!id) {
        co_return;
    }
    auto stream = HostStream(connection, *id, std::string(identify_push_protocol));
    auto const message = encode(describe_to(*connection));
    auto const deadline = env_.deadline_in(identify_limit);
    auto const written = co_await with_deadline(env_, deadline, stream::write_message(stream, message));
    if (written) {
        std::ignore = co_await stream.close_write();
    }
}

Identify IdentifyService::describe_to(Connection const& connection) const
{
    auto identify = describe_();
    identify.observed_address = connection.remote_address();
    return identify;
}

void IdentifyService::learn(Connection& connection, Identify const& identify)
{
    if (!identify.public_key.empty() && identify.public_key != connection.peer_key().encode()) {
        log::warning("a device names another key than its own", {{"peer", connection.peer().short_text()}});
        return;
    }
    connection.agent = identify.agent.empty() ? connection.agent : identify.agent;
    if (!identify.protocols.empty()) {
        connection.protocols = identify.protocols;
        connection.identified = true;
    }
    auto dialable = std::vector<Multiaddr>{};
    for (auto const& address : identify.listen_addresses) {
        auto const named = address.peer();
        auto const endpoint = address.tcp_endpoint();
        if (endpoint && !endpoint->address.is_loopback() && (!named || *named == connection.peer())) {
            dialable.push_back(address);
        }
    }
    book_.remember(connection.peer(), std::move(dialable));
}

}  // namespace plexus::host
