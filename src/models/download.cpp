#include "models/download.h"

#include "base/log.h"

namespace plexus::models {

namespace {

constexpr auto first_rest = std::chrono::seconds(1);
constexpr std::string_view range_unit = "bytes ";

std::string_view without_quotes(std::string_view tag)
{
    return tag.size() >= 2 && tag.front() == '"' && tag.back() == '"' ? tag.substr(1, tag.size() - 2) : tag;
}

/// A strong entity tag; weak ones do not promise the same bytes.
std::string strong_tag(HttpHead const& head)
{
    auto const tag = head.field("etag").value_or("");
    return tag.starts_with('"') && tag.size() <= 256 ? std::string(tag) : std::string{};
}

std::optional<ModelDigest> linked_digest(HttpHead const& head)
{
    auto const tag = head.field("x-linked-etag");
    auto const digest = tag ? ModelDigest::from_text(without_quotes(*tag)) : fail(ErrorKind::not_found, "none");
    return digest ? std::optional(*digest) : std::nullopt;
}

struct ContentRange {
    std::uint64_t first = 0;
    std::uint64_t total = 0;
};

/// "bytes 5-9/10".
std::optional<ContentRange> content_range(HttpHead const& head)
{
    auto text = head.field("content-range").value_or("");
    auto const dash = text.find('-');
    auto const slash = text.find('/');
    if (!text.starts_with(range_unit) || dash == std::string_view::npos || slash == std::string_view::npos ||
        dash > slash) {
        return std::nullopt;
    }
    auto const numbers = HttpHead{
        .fields = {{"first", std::string(text.substr(range_unit.size(), dash - range_unit.size()))},
                   {"total", std::string(text.substr(slash + 1))}}};
    auto const first = numbers.number("first");
    auto const total = numbers.number("total");
    return first && total && *first < *total ? std::optional(ContentRange{*first, *total}) : std::nullopt;
}

bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

Error refusal(int status, std::string_view host)
{
    switch (status) {
    case 401:
    case 403:
        return {ErrorKind::not_allowed,
                fmt::format("{} does not give this file to everyone (status {})", host, status)};
    case 404:
    case 410: return {ErrorKind::not_found, fmt::format("{} has no such file", host)};
    case 429:
    case 500:
    case 502:
    case 503:
    case 504: return {ErrorKind::unavailable, fmt::format("{} cannot give the file now (status {})", host, status)};
    default: return {ErrorKind::malformed, fmt::format("{} answers with status {}", host, status)};
    }
}

bool may_pass(ErrorKind kind)
{
    return kind == ErrorKind::closed || kind == ErrorKind::timed_out || kind == ErrorKind::unavailable ||
           kind == ErrorKind::refused;
}

/// The same bytes at the same place: another tag or size is another file.
PartialKey key_of(Url const& url, RemoteFile const& file)
{
    return crypto::sha256(as_view(fmt::format("{}\n{}\n{}", url.text(), file.tag, file.size_bytes)));
}

}  // namespace

Download::Download(Env& env, Store& store, DownloadOptions options, Url url, bool is_private)
    : env_(env), store_(store), options_(std::move(options)), url_(std::move(url)), is_private_(is_private)
{
}

Result<Url> Download::follow(Url const& from, HttpHead const& head) const
{
    auto const next = from.resolve(head.field("location").value_or(""));
    if (!next) {
        return fail(ErrorKind::malformed, "{} sends us on to nowhere: {}", from.host, next.error().text);
    }
    if (!is_private_ && (!next->is_secure || is_private_host(*next))) {
        return fail(ErrorKind::not_allowed, "{} sends us on to {}, which is no https address of the public internet",
                    from.host, next->host);
    }
    return *next;
}

Task<Result<Download::Opened>> Download::ask(std::vector<HttpField> fields)
{
    auto url = url_;
    for (unsigned hop = 0; hop <= max_redirects; ++hop) {
        auto transfer = env_.http().start(
            {.url = url.text(), .fields = fields, .public_only = !is_private_, .authorities = options_.authorities});
        auto head = co_await transfer->head();
        if (!head) {
            co_return fail(head.error().kind, "{}: {}", url.host, head.error().text);
        }
        if (auto const digest = linked_digest(*head)) {
            linked_digest_ = digest;
        }
        if (!is_redirect(head->status)) {
            co_return Opened{std::move(transfer), std::move(*head)};
        }
        auto next = follow(url, *head);
        if (!next) {
            co_return std::unexpected(next.error());
        }
        url = std::move(*next);
    }
    co_return fail(ErrorKind::malformed, "{} sends us on more than {} times", url_.host, max_redirects);
}

Task<Result<RemoteFile>> Download::look()
{
    auto fields = std::vector<HttpField>{{"range", "bytes=0-0"}, {"accept-encoding", "identity"}};
    auto const opened = co_await ask(std::move(fields));
    if (!opened) {
        co_return std::unexpected(opened.error());
    }
    auto const& head = opened->head;
    auto file = RemoteFile{.tag = strong_tag(head), .digest = linked_digest_};
    if (head.status == 206) {
        auto const range = content_range(head);
        if (!range || range->first != 0) {
            co_return fail(ErrorKind::malformed, "{} gives another range than was asked for", url_.host);
        }
        file.size_bytes = range->total;
        file.has_ranges = true;
    } else if (head.status == 200) {
        file.size_bytes = head.number("content-length").value_or(0);
    } else {
        co_return std::unexpected(refusal(head.status, url_.host));
    }
    if (file.size_bytes == 0) {
        co_return fail(ErrorKind::malformed, "{} does not say how large the file is", url_.host);
    }
    co_return file;
}

Task<Result<std::unique_ptr<Partial>>> Download::fetch(RemoteFile file, std::optional<ModelDigest> digest,
                                                       Progress progress)
{
    auto const total = file.size_bytes;
    auto found = [progress, total](std::uint64_t done) { progress({.done_bytes = done, .total_bytes = total}); };
    auto incoming = Incoming{.key = key_of(url_, file), .size_bytes = total, .digest = digest, .pieces = {}};
    auto begun = co_await store_.begin(std::move(incoming), std::move(found));
    if (!begun) {
        co_return std::unexpected(begun.error());
    }
    auto partial = std::move(*begun);
    auto fruitless = 0U;
    while (!partial->is_complete()) {
        auto const before = partial->next_offset();
        auto const received = co_await go_on(file, *partial, progress);
        if (!received && !may_pass(received.error().kind)) {
            co_return std::unexpected(received.error());
        }
        fruitless = partial->next_offset() > before ? 0 : fruitless + 1;
        if (!received && fruitless >= max_fruitless_attempts) {
            co_return std::unexpected(received.error());
        }
        if (!received) {
            log::info("fetching a model goes on after a rest", {{"host", url_.host}, {"why", received.error().text}});
            co_await sleep_for(env_, first_rest * (1U << fruitless));
        }
    }
    co_return partial;
}

/// One request for what is missing.
Task<Result<void>> Download::go_on(RemoteFile const& file, Partial& partial, Progress const& progress)
{
    auto fields = std::vector<HttpField>{{"accept-encoding", "identity"}};
    if (file.has_ranges) {
        fields.push_back({"range", fmt::format("bytes={}-", partial.next_offset())});
        if (!file.tag.empty()) {
            fields.push_back({"if-range", file.tag});
        }
    }
    auto opened = co_await ask(std::move(fields));
    if (!opened) {
        co_return std::unexpected(opened.error());
    }
    co_return co_await receive(file, std::move(*opened), partial, progress);
}

Task<Result<void>> Download::receive(RemoteFile const& file, Opened opened, Partial& partial, Progress const& progress)
{
    auto const& head = opened.head;
    if (head.status != 200 && head.status != 206) {
        co_return std::unexpected(refusal(head.status, url_.host));
    }
    auto const range = head.status == 206 ? content_range(head) : std::optional(ContentRange{0, file.size_bytes});
    auto const is_same = range && range->total == file.size_bytes && strong_tag(head) == file.tag;
    if (head.status == 206 && (!range || range->first != partial.next_offset())) {
        co_return fail(ErrorKind::malformed, "{} gives another range than was asked for", url_.host);
    }
    if (!is_same) {
        co_return fail(ErrorKind::malformed, "the file at {} has changed while it was fetched: pull it again",
                       url_.host);
    }
    // Without ranges it comes from the beginning; what is here already is passed over.
    auto to_skip = partial.next_offset() - range->first;
    while (!partial.is_complete()) {
        auto const piece = co_await opened.transfer->read();
        if (!piece) {
            co_return std::unexpected(piece.error());
        }
        if (piece->empty()) {
            co_return fail(ErrorKind::closed, "{} ended before the file did", url_.host);
        }
        auto const skipped = static_cast<std::size_t>(std::min<std::uint64_t>(to_skip, piece->size()));
        to_skip -= skipped;
        auto const appended = co_await partial.append(ByteView(*piece).subspan(skipped));
        if (!appended) {
            co_return appended;
        }
        progress({.done_bytes = partial.next_offset(), .total_bytes = partial.size_bytes()});
    }
    co_return Result<void>{};
}

namespace {

Task<Result<Model>> pull_one(Env& env, Store& store, DownloadOptions options, PullRequest request, std::string name,
                             Download::Progress progress)
{
    auto download = Download(env, store, std::move(options), request.source.files.front(), request.source.is_private);
    auto const file = co_await download.look();
    if (!file) {
        co_return std::unexpected(file.error());
    }
    if (request.digest && file->digest && *request.digest != *file->digest) {
        co_return fail(ErrorKind::conflict, "the server says that the file has the digest {}", file->digest->text());
    }
    auto const digest = request.digest ? request.digest : file->digest;
    if (auto const* known = digest ? store.find(digest->text()) : nullptr; known != nullptr) {
        co_return *known;
    }
    if (auto const named = store.check_name(name); !named) {
        co_return std::unexpected(named.error());
    }
    auto partial = co_await download.fetch(*file, digest, std::move(progress));
    if (!partial) {
        co_return std::unexpected(partial.error());
    }
    co_return co_await store.finish(std::move(*partial), std::move(name), request.source.origin);
}

/// All shards, one after the other, as complete partials. `progress` counts over all of them.
Task<Result<std::vector<std::unique_ptr<Partial>>>> fetch_shards(Env& env, Store& store, DownloadOptions options,
                                                                 Source source, Download::Progress progress)
{
    auto downloads = std::vector<std::unique_ptr<Download>>{};
    auto files = std::vector<RemoteFile>{};
    auto total = std::uint64_t{0};
    for (auto const& url : source.files) {
        downloads.push_back(std::make_unique<Download>(env, store, options, url, source.is_private));
        auto file = co_await downloads.back()->look();
        if (!file) {
            co_return std::unexpected(file.error());
        }
        total += std::min<std::uint64_t>(file->size_bytes, max_pieces * piece_bytes);
        files.push_back(std::move(*file));
    }
    // The shards and the model that is made of them.
    if (auto const fits = store.check_quota(2 * total); !fits) {
        co_return std::unexpected(fits.error());
    }
    auto partials = std::vector<std::unique_ptr<Partial>>{};
    auto done = std::uint64_t{0};
    for (std::size_t index = 0; index < files.size(); ++index) {
        auto report = [&](DownloadProgress now) {
            progress({.done_bytes = done + now.done_bytes, .total_bytes = total});
        };
        auto partial = co_await downloads[index]->fetch(files[index], files[index].digest, report);
        if (!partial) {
            co_return std::unexpected(partial.error());
        }
        done += files[index].size_bytes;
        partials.push_back(std::move(*partial));
    }
    co_return partials;
}

Task<Result<Model>> pull_shards(Env& env, Store& store, DownloadOptions options, Source source, std::string name,
                                Download::Progress progress)
{
    if (auto const named = store.check_name(name); !named) {
        co_return std::unexpected(named.error());
    }
    auto const origin = source.origin;
    auto partials = co_await fetch_shards(env, store, std::move(options), std::move(source), std::move(progress));
    if (!partials) {
        co_return std::unexpected(partials.error());
    }
    auto shards = std::vector<std::shared_ptr<File const>>{};
    auto failure = std::optional<Error>{};
    for (auto const& partial : *partials) {
        auto const whole = partial->whole();
        auto opened = env.disk().open(partial->data_path());
        failure = !whole ? whole.error() : !opened ? std::optional(opened.error()) : failure;
        shards.push_back(opened ? std::move(*opened) : nullptr);
    }
    auto model = Result<Model>(std::unexpected(failure.value_or(Error{})));
    if (!failure) {
        model = co_await store.import_shards(std::move(shards), std::move(name), origin, [](ImportProgress) {});
    }
    if (model || model.error().kind == ErrorKind::malformed) {
        for (auto const& partial : *partials) {
            partial->discard();
        }
    }
    co_return model;
}

}  // namespace

Task<Result<Model>> pull(Env& env, Store& store, DownloadOptions options, PullRequest request,
                         Download::Progress progress)
{
    auto name = request.name.empty() ? request.source.name : request.name;
    if (request.source.files.size() == 1) {
        co_return co_await pull_one(env, store, std::move(options), std::move(request), std::move(name),
                                    std::move(progress));
    }
    if (request.digest) {
        co_return fail(ErrorKind::malformed, "a model in several files has no one digest to check");
    }
    co_return co_await pull_shards(env, store, std::move(options), std::move(request.source), std::move(name),
                                   std::move(progress));
}

}  // namespace plexus::models
