#include "base/sim_http.h"

#include <charconv>

#include "base/url.h"

namespace plexus::sim {

namespace {

std::string_view value_of(HttpRequest const& request, std::string_view name)
{
    auto const found = std::ranges::find(request.fields, name, &HttpField::name);
    return found == request.fields.end() ? std::string_view{} : std::string_view(found->value);
}

/// The first byte that "bytes=N-" asks for.
std::optional<std::size_t> range_start(HttpRequest const& request, HttpHead const& head, bool has_ranges)
{
    constexpr auto unit = std::string_view("bytes=");
    auto const range = value_of(request, "range");
    auto const wanted = value_of(request, "if-range");
    auto const etag = head.field("etag");
    if (!has_ranges || !range.starts_with(unit) || (!wanted.empty() && etag != wanted)) {
        return std::nullopt;
    }
    auto start = std::size_t{0};
    std::from_chars(range.data() + unit.size(), range.data() + range.size(), start);
    return start;
}

class SimTransfer final : public HttpTransfer {
public:
    SimTransfer(Env& env, HttpRequest const& request, std::optional<SimPage> page) : env_(env)
    {
        auto const url = Url::parse(request.url);
        auto const address = url ? url->address() : std::nullopt;
        if (!url) {
            failure_ = url.error();
        } else if (request.public_only && address && !is_public(*address)) {
            failure_ = Error{ErrorKind::not_allowed, url->host + " is not an address of the public internet"};
        } else if (!page) {
            failure_ = Error{ErrorKind::unavailable, "no such host: " + url->host};
        } else {
            answer(request, std::move(*page));
        }
    }

    Task<Result<HttpHead>> head() override
    {
        co_await sleep_for(env_, page_.delay);
        if (failure_) {
            co_return std::unexpected(*failure_);
        }
        co_return head_;
    }

    Task<Result<Bytes>> read() override
    {
        co_await sleep_for(env_, page_.delay);
        if (failure_) {
            co_return std::unexpected(*failure_);
        }
        if (sent_ >= cut_after_) {
            co_return fail(ErrorKind::closed, "the connection was broken off");
        }
        auto const count = std::min({page_.piece_bytes, page_.body.size() - position_, cut_after_ - sent_});
        auto const begin = page_.body.begin() + static_cast<std::ptrdiff_t>(position_);
        position_ += count;
        sent_ += count;
        co_return Bytes(begin, begin + static_cast<std::ptrdiff_t>(count));
    }

private:
    void answer(HttpRequest const& request, SimPage page)
    {
        page_ = std::move(page);
        head_ = {.status = page_.status, .fields = page_.fields};
        cut_after_ = page_.cut_after.value_or(SIZE_MAX);
        auto const size = page_.body.size();
        if (auto const start = range_start(request, head_, page_.has_ranges); start && page_.status == 200) {
            head_.status = *start < size ? 206 : 416;
            position_ = *start < size ? *start - (page_.shifts_ranges ? 1 : 0) : size;
            head_.fields.push_back({"content-range", fmt::format("bytes {}-{}/{}", position_, size - 1, size)});
        }
        head_.fields.push_back({"content-length", std::to_string(size - position_)});
        position_ = request.method == "HEAD" ? size : position_;
    }

    Env& env_;
    SimPage page_;
    HttpHead head_;
    std::optional<Error> failure_;
    std::size_t position_ = 0;
    std::size_t sent_ = 0;
    std::size_t cut_after_ = SIZE_MAX;
};

}  // namespace

std::unique_ptr<HttpTransfer> SimHttp::start(HttpRequest request)
{
    requests_.push_back(request);
    auto const found = pages_.find(request.url);
    auto page = found == pages_.end() ? std::nullopt : std::optional(found->second);
    return std::make_unique<SimTransfer>(env_, request, std::move(page));
}

}  // namespace plexus::sim
