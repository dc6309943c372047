#include "base/real_http.h"

#include <map>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <curl/curl.h>

#include "base/url.h"

namespace plexus {

namespace {

constexpr std::size_t max_head_fields = 256;
constexpr std::size_t max_idle_connections = 64;
constexpr std::size_t max_spare_handles = 64;
constexpr long least_upload_buffer = 16 << 10;  // curl's own size is so large that malloc gives it back each time

struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeEasy {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeMulti {
    void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};

std::string lower_case(std::string_view text)
{
    auto lowered = std::string(text);
    std::ranges::transform(lowered, lowered.begin(), [](unsigned char letter) { return std::tolower(letter); });
    return lowered;
}

std::string variable(std::string const& name)
{
    auto const* value = ::getenv(name.c_str());
    if (value == nullptr) {
        auto upper = name;
        std::ranges::transform(upper, upper.begin(), [](unsigned char letter) { return std::toupper(letter); });
        // HTTP_PROXY is what a CGI client sends as "Proxy:"; by custom it is not read.
        value = name == "http_proxy" ? nullptr : ::getenv(upper.c_str());
    }
    return value == nullptr ? std::string{} : value;
}

bool is_exempt(std::string_view host, std::string_view list)
{
    while (!list.empty()) {
        auto const end = std::min(list.find_first_of(", "), list.size());
        auto entry = list.substr(0, end);
        list.remove_prefix(std::min(end + 1, list.size()));
        entry.remove_prefix(entry.starts_with('.') ? 1 : 0);
        if (entry == "*" || (!entry.empty() && (host == entry || host.ends_with("." + std::string(entry))))) {
            return true;
        }
    }
    return false;
}

/// The proxy that the environment names for `url`; empty for none.
std::string proxy_for(Url const& url)
{
    if (is_exempt(url.host, lower_case(variable("no_proxy")))) {
        return {};
    }
    auto const own = variable(url.is_secure ? "https_proxy" : "http_proxy");
    return own.empty() ? variable("all_proxy") : own;
}

std::optional<asio::ip::address> address_of(curl_sockaddr const& from)
{
    if (from.family == AF_INET) {
        auto address = sockaddr_in{};
        std::memcpy(&address, &from.addr, sizeof address);
        return asio::ip::address_v4(ntohl(address.sin_addr.s_addr));
    }
    if (from.family == AF_INET6) {
        auto address = sockaddr_in6{};
        std::memcpy(&address, &from.addr, sizeof address);
        auto bytes = asio::ip::address_v6::bytes_type{};
        std::memcpy(bytes.data(), address.sin6_addr.s6_addr, bytes.size());
        return asio::ip::address_v6(bytes);
    }
    return std::nullopt;
}

ErrorKind kind_of(CURLcode code)
{
    switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_FUNCTION_ARGUMENT: return ErrorKind::malformed;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST: return ErrorKind::unavailable;
    case CURLE_COULDNT_CONNECT: return ErrorKind::refused;
    case CURLE_OPERATION_TIMEDOUT: return ErrorKind::timed_out;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR: return ErrorKind::not_allowed;
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SSL_CONNECT_ERROR: return ErrorKind::closed;
    default: return ErrorKind::io;
    }
}

bool is_one_line(std::string_view text)
{
    return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

std::string_view trimmed(std::string_view text)
{
    constexpr auto blank = std::string_view(" \t\r\n");
    auto const begin = std::min(text.find_first_not_of(blank), text.size());
    auto const end = text.find_last_not_of(blank);
    return end == std::string_view::npos ? std::string_view{} : text.substr(begin, end + 1 - begin);
}

using EasyHandle = std::unique_ptr<CURL, FreeEasy>;

/// curl on the loop: waits at its sockets and for its times.
class Driver {
public:
    explicit Driver(asio::io_context& loop);
    Driver(Driver const&) = delete;
    ~Driver();

    /// A handle without options.
    EasyHandle take_handle();
    void add(CURL* handle);
    /// Ends what it does, if that is not over.
    void remove(EasyHandle handle);
    /// Lets curl go on, at one socket or where time has passed.
    void act(curl_socket_t socket = CURL_SOCKET_TIMEOUT, int events = 0);

private:
    using Descriptor = asio::posix::basic_stream_descriptor<Executor>;
    using Timer =
        asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

    /// A socket of curl's at which the loop waits; it stays curl's.
    struct Watched {
        Watched(asio::io_context& loop, curl_socket_t socket) : descriptor(loop, socket) {}
        Descriptor descriptor;
        int wanted = CURL_POLL_NONE;
        int waiting = CURL_POLL_NONE;
    };

    template <typename T>
    void set(CURLMoption option, T value)
    {
        std::ignore = curl_multi_setopt(multi_.get(), option, value);
    }

    void want(curl_socket_t socket, int wanted);
    void wait_at(std::shared_ptr<Watched> const& watched, int side);
    void wake_in(long milliseconds);
    void arm();
    void collect();

    asio::io_context& loop_;
    Timer timer_;
    Timer::time_point due_ = Timer::time_point::max();
    Timer::time_point armed_for_ = Timer::time_point::max();  // not after due_
    bool is_acting_ = false;                                  // curl may still change its mind about due_
    std::map<curl_socket_t, std::shared_ptr<Watched>> sockets_;
    std::vector<EasyHandle> spare_;
    std::unique_ptr<CURLM, FreeMulti> multi_;
};

class Transfer final : public HttpTransfer {
public:
    Transfer(asio::io_context& loop, std::shared_ptr<Driver> driver, HttpRequest request)
        : driver_(std::move(driver)), request_(std::move(request)), handle_(driver_->take_handle()),
          changed_(loop.get_executor())
    {
        if (auto const prepared = prepare(); !prepared) {
            end(prepared.error());
            return;
        }
        driver_->add(handle_.get());
    }

    ~Transfer() override { driver_->remove(std::move(handle_)); }

    Task<Result<HttpHead>> head() override;
    Task<Result<Bytes>> read() override;

    /// curl is done with it.
    void end(CURLcode code);

private:
    template <typename T>
    void set(CURLoption option, T value)
    {
        std::ignore = curl_easy_setopt(handle_.get(), option, value);
    }

    Result<void> prepare();
    void set_limits();
    Result<void> set_fields();
    std::size_t take_line(std::string_view line);
    std::size_t take_body(std::string_view piece);
    curl_socket_t open_socket(curl_sockaddr const& to);
    void end(Error error);

    std::shared_ptr<Driver> driver_;
    HttpRequest request_;
    EasyHandle handle_;
    std::unique_ptr<curl_slist, FreeList> fields_;
    std::array<char, CURL_ERROR_SIZE> reason_{};
    HttpHead head_;
    std::size_t head_bytes_ = 0;
    bool has_head_ = false;
    bool must_be_public_ = true;
    std::optional<asio::ip::address> refused_address_;

    Bytes body_;  // that nobody has taken
    bool is_paused_ = false;
    bool is_over_ = false;
    std::optional<Error> failure_;
    Signal changed_;
};

Result<void> Transfer::prepare()
{
    auto const url = Url::parse(request_.url);
    if (!url) {
        return std::unexpected(url.error());
    }
    auto const proxy = proxy_for(*url);
    must_be_public_ = request_.public_only && proxy.empty();
    auto const literal = url->address();
    if (request_.public_only && literal && !is_public(*literal)) {
        return fail(ErrorKind::not_allowed, "{} is not an address of the public internet", url->host);
    }
    set(CURLOPT_PRIVATE, this);
    set(CURLOPT_URL, url->text().c_str());
    set(CURLOPT_PROXY, proxy.c_str());
    set(CURLOPT_NOPROXY, "");
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    set(CURLOPT_USERAGENT, "plexus/" PLEXUS_VERSION);
    set(CURLOPT_ERRORBUFFER, reason_.data());
    set(CURLOPT_UPLOAD_BUFFERSIZE, least_upload_buffer);
    // A connection that another request opened was judged by that one's rules.
    set(CURLOPT_FRESH_CONNECT, request_.public_only ? 1L : 0L);
    auto const* bundle = static_cast<char*>(nullptr);
    std::ignore = curl_easy_getinfo(handle_.get(), CURLINFO_CAINFO, &bundle);
    if (!request_.authorities.empty()) {
        set(CURLOPT_CAINFO, request_.authorities.c_str());  // the system's folder of authorities stays trusted
    } else if (bundle != nullptr) {
        set(CURLOPT_CAPATH,
            static_cast<char const*>(nullptr));  // a bundle alone is read once a day, a folder each time
    }
    set_limits();
    return set_fields();
}

void Transfer::set_limits()
{
    using std::chrono::duration_cast;
    auto const connect = duration_cast<std::chrono::milliseconds>(request_.connect_limit).count();
    auto const silence = std::chrono::ceil<std::chrono::seconds>(request_.silence_limit).count();
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect));
    set(CURLOPT_LOW_SPEED_LIMIT, silence > 0 ? 1L : 0L);
    set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(silence));

    set(CURLOPT_HEADERDATA, this);
    set(
        CURLOPT_HEADERFUNCTION, +[](char* data, std::size_t, std::size_t size, void* self) {
            return static_cast<Transfer*>(self)->take_line({data, size});
        });
    set(CURLOPT_WRITEDATA, this);
    set(
        CURLOPT_WRITEFUNCTION, +[](char* data, std::size_t, std::size_t size, void* self) {
            return static_cast<Transfer*>(self)->take_body({data, size});
        });
    set(CURLOPT_OPENSOCKETDATA, this);
    set(
        CURLOPT_OPENSOCKETFUNCTION,
        +[](void* self, curlsocktype, curl_sockaddr* to) { return static_cast<Transfer*>(self)->open_socket(*to); });
}

Result<void> Transfer::set_fields()
{
    if (request_.method == "HEAD") {
        set(CURLOPT_NOBODY, 1L);
    } else if (!request_.body.empty() || request_.method == "POST") {
        set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
        set(CURLOPT_POSTFIELDS, request_.body.c_str());
    }
    if (request_.method != "GET" && request_.method != "HEAD" && request_.method != "POST") {
        set(CURLOPT_CUSTOMREQUEST, request_.method.c_str());
    }
    auto lines = std::vector<std::string>{"Expect:"};
    for (auto const& field : request_.fields) {
        lines.push_back(fmt::format("{}: {}", field.name, field.value));
    }
    for (auto const& line : lines) {
        if (!is_one_line(line)) {
            return fail(ErrorKind::malformed, "a header field of the request has a line break");
        }
        auto* const longer = curl_slist_append(fields_.get(), line.c_str());
        PLEXUS_ASSERT(longer != nullptr);
        std::ignore = fields_.release();
        fields_.reset(longer);
    }
    set(CURLOPT_HTTPHEADER, fields_.get());
    return {};
}

curl_socket_t Transfer::open_socket(curl_sockaddr const& to)
{
    auto const address = address_of(to);
    if (must_be_public_ && (!address || !is_public(*address))) {
        refused_address_ = address;
        return CURL_SOCKET_BAD;
    }
    return ::socket(to.family, to.socktype | SOCK_CLOEXEC, to.protocol);
}

std::size_t Transfer::take_line(std::string_view line)
{
    if (has_head_) {
        return line.size();  // a field behind the body
    }
    head_bytes_ += line.size();
    if (head_bytes_ > HttpTransfer::max_head_bytes || head_.fields.size() > max_head_fields) {
        end({ErrorKind::too_large, "the head of the answer is too long"});
        return 0;
    }
    if (line.starts_with("HTTP/")) {
        head_ = {};
        return line.size();
    }
    if (auto const text = trimmed(line); !text.empty()) {
        auto const colon = std::min(text.find(':'), text.size());
        auto const value = trimmed(text.substr(std::min(colon + 1, text.size())));
        head_.fields.push_back({lower_case(text.substr(0, colon)), std::string(value)});
        return line.size();
    }
    auto status = 0L;
    std::ignore = curl_easy_getinfo(handle_.get(), CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) {
        return line.size();  // 100 and kin: the head that counts follows
    }
    head_.status = static_cast<int>(status);
    has_head_ = true;
    changed_.notify();
    return line.size();
}

std::size_t Transfer::take_body(std::string_view piece)
{
    if (body_.size() >= max_waiting_bytes) {
        is_paused_ = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    append(body_, as_view(piece));
    changed_.notify();
    return piece.size();
}

void Transfer::end(CURLcode code)
{
    if (code == CURLE_OK && has_head_) {
        is_over_ = true;
        changed_.notify();
        return;
    }
    if (refused_address_ && code == CURLE_COULDNT_CONNECT) {
        end({ErrorKind::not_allowed,
             fmt::format("its address {} is not one of the public internet", refused_address_->to_string())});
        return;
    }
    auto const* const reason = reason_.front() == '\0' ? curl_easy_strerror(code) : reason_.data();
    end({code == CURLE_OK ? ErrorKind::malformed : kind_of(code), reason});
}

void Transfer::end(Error error)
{
    if (!std::exchange(is_over_, true)) {
        failure_ = std::move(error);
        changed_.notify();
    }
}

Task<Result<HttpHead>> Transfer::head()
{
    while (!has_head_ && !is_over_) {
        co_await changed_.wait();
    }
    if (!has_head_) {
        co_return std::unexpected(*failure_);
    }
    co_return head_;
}

Task<Result<Bytes>> Transfer::read()
{
    while (body_.empty() && !is_over_) {
        co_await changed_.wait();
    }
    if (body_.empty() && failure_) {
        co_return std::unexpected(*failure_);
    }
    auto taken = std::exchange(body_, {});
    if (std::exchange(is_paused_, false)) {
        std::ignore = curl_easy_pause(handle_.get(), CURLPAUSE_CONT);
        driver_->act();
    }
    co_return taken;
}

Driver::Driver(asio::io_context& loop) : loop_(loop), timer_(loop), multi_(curl_multi_init())
{
    set(CURLMOPT_MAXCONNECTS, static_cast<long>(max_idle_connections));
    set(CURLMOPT_SOCKETDATA, this);
    set(
        CURLMOPT_SOCKETFUNCTION, +[](CURL*, curl_socket_t socket, int wanted, void* self, void*) {
            static_cast<Driver*>(self)->want(socket, wanted);
            return 0;
        });
    set(CURLMOPT_TIMERDATA, this);
    set(
        CURLMOPT_TIMERFUNCTION, +[](CURLM*, long milliseconds, void* self) {
            static_cast<Driver*>(self)->wake_in(milliseconds);
            return 0;
        });
}

Driver::~Driver()
{
    for (auto const& [socket, watched] : sockets_) {
        watched->wanted = CURL_POLL_NONE;
        watched->descriptor.release();
    }
    sockets_.clear();
    multi_.reset();  // closes connections, and tells of it
}

EasyHandle Driver::take_handle()
{
    if (spare_.empty()) {
        return EasyHandle(curl_easy_init());
    }
    auto handle = std::move(spare_.back());
    spare_.pop_back();
    return handle;
}

void Driver::add(CURL* handle)
{
    is_acting_ = true;
    std::ignore = curl_multi_add_handle(multi_.get(), handle);
    act();
}

void Driver::remove(EasyHandle handle)
{
    std::ignore = curl_multi_remove_handle(multi_.get(), handle.get());
    if (spare_.size() < max_spare_handles) {
        curl_easy_reset(handle.get());
        spare_.push_back(std::move(handle));
    }
}

void Driver::act(curl_socket_t socket, int events)
{
    auto running = 0;
    is_acting_ = true;
    std::ignore = curl_multi_socket_action(multi_.get(), socket, events, &running);
    collect();
    is_acting_ = false;
    arm();
}

void Driver::want(curl_socket_t socket, int wanted)
{
    auto& watched = sockets_[socket];
    if (wanted == CURL_POLL_REMOVE) {
        if (watched) {
            watched->wanted = CURL_POLL_NONE;
            watched->descriptor.release();
        }
        sockets_.erase(socket);
        return;
    }
    if (!watched) {
        watched = std::make_shared<Watched>(loop_, socket);
    }
    watched->wanted = wanted;
    wait_at(watched, CURL_POLL_IN);
    wait_at(watched, CURL_POLL_OUT);
}

void Driver::wait_at(std::shared_ptr<Watched> const& watched, int side)
{
    if ((watched->wanted & side) == 0 || (watched->waiting & side) != 0) {
        return;
    }
    watched->waiting |= side;
    auto const kind = side == CURL_POLL_IN ? Descriptor::wait_read : Descriptor::wait_write;
    watched->descriptor.async_wait(kind, [this, watched, side](boost::system::error_code code) {
        watched->waiting &= ~side;
        if ((watched->wanted & side) == 0) {
            return;  // or this object may be gone
        }
        auto const events = side == CURL_POLL_IN ? CURL_CSELECT_IN : CURL_CSELECT_OUT;
        act(watched->descriptor.native_handle(), code ? CURL_CSELECT_ERR : events);
        wait_at(watched, side);
    });
}

void Driver::wake_in(long milliseconds)
{
    due_ = milliseconds < 0 ? Timer::time_point::max()
                            : std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    if (!is_acting_) {
        arm();
    }
}

/// To wake too early once costs less than to set the timer anew each time.
void Driver::arm()
{
    if (due_ == Timer::time_point::max()) {
        armed_for_ = due_;
        timer_.cancel();
        return;
    }
    if (armed_for_ <= due_) {
        return;
    }
    armed_for_ = due_;
    timer_.expires_at(due_);
    timer_.async_wait([this](boost::system::error_code code) {
        if (code) {
            return;
        }
        armed_for_ = Timer::time_point::max();
        if (std::chrono::steady_clock::now() < due_) {
            arm();
            return;
        }
        due_ = Timer::time_point::max();
        act();
    });
}

void Driver::collect()
{
    auto left = 0;
    while (auto const* message = curl_multi_info_read(multi_.get(), &left)) {
        auto* transfer = static_cast<char*>(nullptr);
        std::ignore = curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        if (message->msg == CURLMSG_DONE) {
            reinterpret_cast<Transfer*>(transfer)->end(message->data.result);
        }
    }
}

}  // namespace

struct RealHttp::State {
    explicit State(asio::io_context& context) : driver(std::make_shared<Driver>(context)) {}
    std::shared_ptr<Driver> driver;
};

RealHttp::RealHttp(asio::io_context& context) : context_(context) {}

RealHttp::~RealHttp() = default;

std::unique_ptr<HttpTransfer> RealHttp::start(HttpRequest request)
{
    if (!state_) {
        static auto const is_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
        PLEXUS_ASSERT(is_ready == CURLE_OK);
        state_ = std::make_unique<State>(context_);
    }
    return std::make_unique<Transfer>(context_, state_->driver, std::move(request));
}

}  // namespace plexus
