#include "base/real_http.h"

#include <csignal>
#include <mutex>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <curl/curl.h>

#include "base/url.h"

namespace plexus {

namespace {

constexpr std::size_t max_head_fields = 256;
constexpr int longest_wait_milliseconds = 60'000;
constexpr std::size_t max_idle_connections = 8;

struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FreeEasy {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeMulti {
    void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};

/// What both threads know of one request.
struct Exchange {
    explicit Exchange(Executor executor) : changed(std::move(executor)) {}

    std::mutex mutex;  // guards all up to `reading`
    std::optional<HttpHead> head;
    Bytes body;
    std::optional<Error> failure;
    bool is_over = false;
    bool is_paused = false;
    bool is_told = false;  // a wake-up of the loop is on its way

    Signal changed;  // loop only
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

/// One request as the worker thread sees it.
class Transfer {
public:
    Transfer(Executor executor, std::shared_ptr<Exchange> exchange, HttpRequest request)
        : executor_(std::move(executor)), exchange_(std::move(exchange)), request_(std::move(request)),
          handle_(curl_easy_init())
    {
    }

    CURL* handle() const { return handle_.get(); }
    Exchange const* exchange() const { return exchange_.get(); }

    Result<void> prepare();
    void end(CURLcode code);
    void fail_with(Error error);
    void resume();

    /// The last reference of this thread goes with a message to the loop, where a Signal may end.
    static void release(std::unique_ptr<Transfer> transfer)
    {
        auto executor = transfer->executor_;
        asio::post(executor, [exchange = std::move(transfer->exchange_)] {});
    }

private:
    template <typename T>
    void set(CURLoption option, T value)
    {
        std::ignore = curl_easy_setopt(handle_.get(), option, value);
    }

    void set_limits();
    Result<void> set_fields();
    std::size_t take_line(std::string_view line);
    std::size_t take_body(std::string_view piece);
    curl_socket_t open_socket(curl_sockaddr const& to);
    void tell(std::unique_lock<std::mutex> lock);

    Executor executor_;
    std::shared_ptr<Exchange> exchange_;
    HttpRequest request_;
    std::unique_ptr<CURL, FreeEasy> handle_;
    std::unique_ptr<curl_slist, FreeList> fields_;
    std::array<char, CURL_ERROR_SIZE> reason_{};
    HttpHead head_;
    std::size_t head_bytes_ = 0;
    bool has_head_ = false;
    bool must_be_public_ = true;
    std::optional<asio::ip::address> refused_address_;
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
    // A connection that another request opened was judged by that one's rules.
    set(CURLOPT_FRESH_CONNECT, request_.public_only ? 1L : 0L);
    if (!request_.authorities.empty()) {
        set(CURLOPT_CAINFO, request_.authorities.c_str());  // the system's folder of authorities stays trusted
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
        fail_with({ErrorKind::too_large, "the head of the answer is too long"});
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
    has_head_ = true;
    head_.status = static_cast<int>(status);
    auto lock = std::unique_lock(exchange_->mutex);
    exchange_->head = std::move(head_);
    tell(std::move(lock));
    return line.size();
}

std::size_t Transfer::take_body(std::string_view piece)
{
    auto lock = std::unique_lock(exchange_->mutex);
    if (exchange_->body.size() >= HttpTransfer::max_waiting_bytes) {
        exchange_->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    append(exchange_->body, as_view(piece));
    tell(std::move(lock));
    return piece.size();
}

void Transfer::resume()
{
    std::ignore = curl_easy_pause(handle_.get(), CURLPAUSE_CONT);
}

void Transfer::tell(std::unique_lock<std::mutex> lock)
{
    if (std::exchange(exchange_->is_told, true)) {
        return;
    }
    lock.unlock();
    asio::post(executor_, [exchange = exchange_] {
        {
            auto const own = std::scoped_lock(exchange->mutex);
            exchange->is_told = false;
        }
        exchange->changed.notify();
    });
}

void Transfer::fail_with(Error error)
{
    auto lock = std::unique_lock(exchange_->mutex);
    if (exchange_->is_over) {
        return;
    }
    exchange_->failure = std::move(error);
    exchange_->is_over = true;
    tell(std::move(lock));
}

void Transfer::end(CURLcode code)
{
    if (code == CURLE_OK && has_head_) {
        auto lock = std::unique_lock(exchange_->mutex);
        exchange_->is_over = true;
        tell(std::move(lock));
        return;
    }
    if (refused_address_ && code == CURLE_COULDNT_CONNECT) {
        fail_with({ErrorKind::not_allowed,
                   fmt::format("its address {} is not one of the public internet", refused_address_->to_string())});
        return;
    }
    auto const* const reason = reason_.front() == '\0' ? curl_easy_strerror(code) : reason_.data();
    fail_with({code == CURLE_OK ? ErrorKind::malformed : kind_of(code), reason});
}

}  // namespace

/// The thread and what it is told. Orders go in under the mutex, answers come out through each Exchange.
class RealHttp::Worker {
public:
    Worker() : multi_(curl_multi_init())
    {
        std::ignore = curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(max_idle_connections));
        thread_ = std::thread([this] { run(); });
    }

    ~Worker()
    {
        give([](Worker& self) { self.is_ending_ = true; });
        thread_.join();
        for (auto& transfer : transfers_) {
            std::ignore = curl_multi_remove_handle(multi_.get(), transfer->handle());
        }
    }

    void add(std::unique_ptr<Transfer> transfer)
    {
        give([transfer = std::move(transfer)](Worker& self) mutable { self.begin(std::move(transfer)); });
    }

    void resume(std::shared_ptr<Exchange> exchange)
    {
        give([exchange = std::move(exchange)](Worker& self) {
            if (auto const found = self.find(exchange.get()); found != self.transfers_.end()) {
                (*found)->resume();
            }
        });
    }

    void cancel(std::shared_ptr<Exchange> exchange)
    {
        give([exchange = std::move(exchange)](Worker& self) {
            if (auto const found = self.find(exchange.get()); found != self.transfers_.end()) {
                self.drop(found);
            }
        });
    }

private:
    using Order = std::move_only_function<void(Worker&)>;
    using Transfers = std::vector<std::unique_ptr<Transfer>>;

    void give(Order order)
    {
        {
            auto const lock = std::scoped_lock(mutex_);
            orders_.push_back(std::move(order));
        }
        std::ignore = curl_multi_wakeup(multi_.get());
    }

    void run()
    {
        // Signals are for the loop; what is written to a connection that has gone shall be an error.
        auto all = sigset_t{};
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
        while (!is_ending_) {
            auto orders = std::vector<Order>{};
            {
                auto const lock = std::scoped_lock(mutex_);
                orders.swap(orders_);
            }
            for (auto& order : orders) {
                order(*this);
            }
            auto running = 0;
            std::ignore = curl_multi_perform(multi_.get(), &running);
            collect();
            if (!is_ending_) {
                std::ignore = curl_multi_poll(multi_.get(), nullptr, 0, longest_wait_milliseconds, nullptr);
            }
        }
    }

    void begin(std::unique_ptr<Transfer> transfer)
    {
        if (auto prepared = transfer->prepare(); !prepared) {
            transfer->fail_with(prepared.error());
            Transfer::release(std::move(transfer));
            return;
        }
        std::ignore = curl_multi_add_handle(multi_.get(), transfer->handle());
        transfers_.push_back(std::move(transfer));
    }

    void collect()
    {
        auto left = 0;
        while (auto const* message = curl_multi_info_read(multi_.get(), &left)) {
            auto const handle = message->easy_handle;
            auto const code = message->data.result;
            auto const found = std::ranges::find(transfers_, handle, [](auto const& each) { return each->handle(); });
            if (message->msg == CURLMSG_DONE && found != transfers_.end()) {
                (*found)->end(code);
                drop(found);
            }
        }
    }

    Transfers::iterator find(Exchange const* exchange)
    {
        return std::ranges::find(transfers_, exchange, [](auto const& each) { return each->exchange(); });
    }

    void drop(Transfers::iterator at)
    {
        std::ignore = curl_multi_remove_handle(multi_.get(), (*at)->handle());
        Transfer::release(std::move(*at));
        transfers_.erase(at);
    }

    std::unique_ptr<CURLM, FreeMulti> multi_;
    Transfers transfers_;  // worker thread only
    bool is_ending_ = false;  // worker thread only
    std::mutex mutex_;
    std::vector<Order> orders_;  // two at most for each transfer that the loop holds
    std::thread thread_;
};

namespace {

/// One request as the loop sees it.
template <typename Worker>
class LoopTransfer final : public HttpTransfer {
public:
    LoopTransfer(std::shared_ptr<Worker> worker, std::shared_ptr<Exchange> exchange)
        : worker_(std::move(worker)), exchange_(std::move(exchange)), alive_(exchange_->changed.executor())
    {
    }

    ~LoopTransfer() override { worker_->cancel(exchange_); }

    Task<Result<HttpHead>> head() override
    {
        for (;;) {
            if (auto const known = known_head()) {
                co_return *known;
            }
            co_await exchange_->changed.wait();
        }
    }

    Task<Result<Bytes>> read() override
    {
        for (;;) {
            if (auto waiting = waiting_bytes()) {
                co_return std::move(*waiting);
            }
            co_await exchange_->changed.wait();
        }
    }

private:
    std::optional<Result<HttpHead>> known_head()
    {
        auto const lock = std::scoped_lock(exchange_->mutex);
        if (exchange_->head) {
            return *exchange_->head;
        }
        if (exchange_->failure) {
            return std::unexpected(*exchange_->failure);
        }
        return std::nullopt;
    }

    std::optional<Result<Bytes>> waiting_bytes()
    {
        auto lock = std::unique_lock(exchange_->mutex);
        if (!exchange_->body.empty()) {
            auto bytes = std::exchange(exchange_->body, {});
            auto const was_paused = std::exchange(exchange_->is_paused, false);
            lock.unlock();
            if (was_paused) {
                worker_->resume(exchange_);
            }
            return bytes;
        }
        if (exchange_->failure) {
            return std::unexpected(*exchange_->failure);
        }
        return exchange_->is_over ? std::optional<Result<Bytes>>(Bytes{}) : std::nullopt;
    }

    std::shared_ptr<Worker> worker_;
    std::shared_ptr<Exchange> exchange_;
    asio::executor_work_guard<Executor> alive_;
};

}  // namespace

RealHttp::RealHttp(asio::io_context& context) : context_(context) {}

RealHttp::~RealHttp() = default;

std::unique_ptr<HttpTransfer> RealHttp::start(HttpRequest request)
{
    if (!worker_) {
        static auto const is_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
        PLEXUS_ASSERT(is_ready == CURLE_OK);
        worker_ = std::make_shared<Worker>();
    }
    auto exchange = std::make_shared<Exchange>(context_.get_executor());
    worker_->add(std::make_unique<Transfer>(context_.get_executor(), exchange, std::move(request)));
    return std::make_unique<LoopTransfer<Worker>>(worker_, std::move(exchange));
}

}  // namespace plexus
