#include "blobs/copying.h"

#include <algorithm>

#include "base/log.h"

namespace plexus::blobs {

namespace {

constexpr auto report_interval = std::chrono::milliseconds(250);
constexpr auto pace_window = std::chrono::seconds(3);

/// The piece behind the last place in which both differ: only one of them leads through it. If their sizes differ that
/// is the last piece.
std::uint32_t piece_in_dispute(PieceList const& one, PieceList const& other)
{
    auto const& left = one.states();
    auto const& right = other.states();
    auto place = left.size();
    while (left.size() == right.size() && place > 0 && left[place - 1] == right[place - 1]) {
        --place;
    }
    return static_cast<std::uint32_t>(place);
}

}  // namespace

/// One source at work.
struct Copying::Worker {
    Worker(Env& env, host::Host& host, PeerId const& peer, ModelDigest model)
        : source(env, host, peer, model), freed(env.executor())
    {
    }
    PeerId const& peer() const { return source.peer(); }

    Source source;
    List list;
    std::size_t checking = 0;
    bool lied = false;
    Signal freed;
};

Copying::Copying(Env& env, host::Host& host, catalog::Catalog& catalog, models::Store& store, Wanted wanted,
                 std::function<std::string(PeerId const&)> name_of, TaskScope& tasks)
    : env_(env), host_(host), catalog_(catalog), store_(store), wanted_(std::move(wanted)),
      name_of_(std::move(name_of)), tasks_(tasks), changed_(env.executor())
{
}

Task<Result<void>> Copying::run(std::function<void(CopyProgress const&)> progress)
{
    progress_ = std::move(progress);
    auto const recalled = co_await recall();
    if (!recalled) {
        co_return recalled;
    }
    last_piece_ = env_.now();
    while (!failed_ && !(partial_ && partial_->is_complete())) {
        judge_other_lists();
        auto const turned = turn_to_other_list();
        if (!turned) {
            co_return turned;
        }
        auto const started = start_sources();
        if (!started) {
            co_return started;
        }
        report();
        co_await wait_a_moment();
    }
    while (keeping_ > 0) {
        co_await wait_a_moment();
    }
    last_report_ = Time{};
    report();
    co_return failed_ ? Result<void>(std::unexpected(*failed_)) : Result<void>{};
}

void Copying::halt()
{
    halted_ = true;
    progress_ = {};
    partial_.reset();
    for (auto* worker : workers_) {
        worker->source.reset();
    }
    changed_.notify();
}

std::shared_ptr<models::Partial> Copying::take_partial()
{
    auto partial = std::move(partial_);
    halt();
    return partial;
}

/// Goes on with what an earlier copy or download left.
Task<Result<void>> Copying::recall()
{
    auto const self = shared_from_this();
    auto const holders = catalog_.who_holds(wanted_.model);
    auto const size = holders.empty() ? std::uint64_t{0} : holders.front().model->size_bytes;
    auto tell = [self, size](std::uint64_t bytes) {
        if (self->progress_) {
            self->progress_({.stage = CopyProgress::Stage::checking,
                             .done_bytes = bytes,
                             .total_bytes = std::max(size, bytes),
                             .bytes_per_second = 0,
                             .sources = {}});
        }
    };
    auto partial = co_await store_.resume(wanted_.model, std::move(tell));
    if (!partial) {
        auto const is_new = partial.error().kind == ErrorKind::not_found;
        co_return is_new ? Result<void>{} : std::unexpected(partial.error());
    }
    partial_ = std::move(*partial);
    if (partial_->pieces() != nullptr) {
        list_ = std::make_shared<PieceList const>(*partial_->pieces());
        count_missing();
    }
    co_return Result<void>{};
}

void Copying::count_missing()
{
    auto const missing = partial_->missing();
    open_ = std::set<std::uint32_t>(missing.begin(), missing.end());
    flights_.clear();
}

Task<> Copying::wait_a_moment()
{
    auto const alarm = Alarm(env_, env_.now() + report_interval, [this] { changed_.notify(); });
    co_await changed_.wait();
}

/// Errors: `not_found`, `unavailable` when there is nothing to wait for.
Result<void> Copying::start_sources()
{
    auto const holders = catalog_.who_holds(wanted_.model);
    auto could_help = working_ > 0;
    auto is_known = false;
    auto all_banned = true;
    for (auto const& holder : holders) {
        auto const& peer = holder.entry.device;
        if (holder.entry.is_self || (wanted_.from && peer != *wanted_.from)) {
            continue;
        }
        is_known = true;
        auto& standing = standings_[peer];
        all_banned = all_banned && standing.is_banned;
        could_help = could_help || (!standing.is_banned && holder.entry.state == catalog::State::ready);
        auto const is_free = !standing.is_working && !standing.is_banned && !standing.other_list;
        if (is_free && holder.entry.state == catalog::State::ready && standing.retry_at <= env_.now() &&
            working_ < max_sources) {
            standing.is_working = true;
            ++working_;
            tasks_.spawn("copy from " + peer.short_text(), work(shared_from_this(), peer));
        }
    }
    if (!is_known) {
        return fail(ErrorKind::not_found, "no {} holds this model", wanted_.from ? "such device" : "device");
    }
    auto const is_patient = !all_banned && env_.now() - last_piece_ < patience;
    if (working_ == 0 && !(is_patient && (could_help || has_brought_))) {
        return fail(ErrorKind::unavailable, "no device gives the model now; what has come is kept for the next time");
    }
    return {};
}

/// When nobody is left who has the list that counts, that of a source that waits counts.
Result<void> Copying::turn_to_other_list()
{
    auto const waits = [](auto const& entry) { return entry.second.other_list && !entry.second.is_banned; };
    auto const next = std::ranges::find_if(standings_, waits);
    if (working_ > 0 || keeping_ > 0 || next == standings_.end()) {
        return {};
    }
    auto const list = next->second.other_list;
    for (auto& [peer, standing] : standings_) {
        standing.other_list = {};
    }
    list_ = {};
    urgent_.clear();
    if (partial_ && list->size_bytes() != partial_->size_bytes()) {
        partial_->discard();
        partial_.reset();
    }
    if (!partial_) {
        return {};
    }
    if (auto const used = partial_->use(*list); !used) {
        return used;
    }
    list_ = list;
    count_missing();
    return {};
}

/// Two lists do not both lead through the piece behind their last difference: with it the other one is out.
void Copying::judge_other_lists()
{
    for (auto& [peer, standing] : standings_) {
        if (list_ && partial_ && standing.other_list && partial_->has(piece_in_dispute(*list_, *standing.other_list))) {
            standing.other_list = {};
            leave(peer, Error{ErrorKind::malformed, "its description of the model is wrong"});
        }
    }
}

void Copying::report()
{
    auto const now = env_.now();
    if (!progress_ || now - last_report_ < report_interval) {
        return;
    }
    last_report_ = now;
    while (!pace_.empty() && now - pace_.front().first > pace_window) {
        pace_.pop_front();
    }
    auto made = CopyProgress{};
    made.done_bytes = partial_ ? partial_->done_bytes() : 0;
    made.total_bytes = partial_ ? partial_->size_bytes() : 0;
    auto recent = std::uint64_t{0};
    for (auto const& [at, bytes] : pace_) {
        recent += bytes;
    }
    if (!pace_.empty() && now > pace_.front().first) {
        made.bytes_per_second = static_cast<double>(recent) /
                                std::chrono::duration<double>(now - pace_.front().first).count();
    }
    for (auto const& [peer, standing] : standings_) {
        if (standing.is_working || standing.bytes > 0) {
            made.sources.push_back({.device = peer, .bytes = standing.bytes});
        }
    }
    progress_(made);
}

std::string Copying::origin() const
{
    auto names = std::string{};
    for (auto const& [peer, standing] : standings_) {
        if (standing.bytes > 0) {
            names += (names.empty() ? "" : ", ") + name_of_(peer);
        }
    }
    return names.empty() ? "the mesh" : names;
}

Task<> Copying::work(std::shared_ptr<Copying> self, PeerId peer)
{
    auto const worker = std::make_shared<Worker>(env_, host_, peer, wanted_.model);
    struct AtEnd {
        Copying& copying;
        Worker& worker;
        ~AtEnd()
        {
            copying.workers_.erase(&worker);
            worker.source.reset();
            copying.return_pieces(worker);
            copying.standings_[worker.peer()].is_working = false;
            --copying.working_;
            copying.changed_.notify();
        }
    };
    auto const at_end = AtEnd{*self, *worker};
    workers_.insert(worker.get());
    auto const copied = co_await self->copy_from(worker);
    if (!copied && !self->halted_) {
        self->leave(peer, copied.error());
    }
}

/// What a source did decides whether it is asked again.
void Copying::leave(PeerId const& peer, Error const& why)
{
    auto& standing = standings_[peer];
    standing.is_banned = why.kind == ErrorKind::malformed;
    standing.retry_pause = std::clamp<Duration>(standing.retry_pause * 2, first_retry, longest_retry);
    standing.retry_at = env_.now() + standing.retry_pause;
    log::warning(standing.is_banned ? "a device gave a wrong part of a model and is asked no more"
                                    : "a device gives no more of a model for now",
                 {{"device", name_of_(peer)}, {"peer", peer.short_text()}, {"why", why.text}});
}

Task<Result<void>> Copying::copy_from(std::shared_ptr<Worker> worker)
{
    auto opened = co_await worker->source.open(list_);
    if (!opened) {
        co_return std::unexpected(opened.error());
    }
    worker->list = std::move(*opened);
    auto const agreed = co_await agree(*worker);
    if (!agreed || !*agreed) {
        co_return agreed ? Result<void>{} : std::unexpected(agreed.error());
    }
    co_return co_await take_pieces(worker);
}

/// True if the source has the list that counts, or its list counts from now on.
Task<Result<bool>> Copying::agree(Worker& worker)
{
    while (!list_ && is_beginning_ && !halted_) {
        co_await changed_.wait();
    }
    if (halted_) {
        co_return false;
    }
    if (!list_) {
        is_beginning_ = true;
        struct AtEnd {
            Copying& copying;
            ~AtEnd()
            {
                copying.is_beginning_ = false;
                copying.changed_.notify();
            }
        };
        auto const at_end = AtEnd{*this};
        auto const begun = co_await begin_with(worker);
        if (!begun) {
            co_return std::unexpected(begun.error());
        }
    }
    if (!list_) {
        co_return false;
    }
    if (worker.list == list_ || *worker.list == *list_) {
        worker.list = list_;
        co_return true;
    }
    dispute(worker.peer(), worker.list);
    co_return false;
}

/// The last piece proves the size before room is set aside: the padding of SHA-256 holds it.
Task<Result<void>> Copying::begin_with(Worker& worker)
{
    auto const list = worker.list;
    if (partial_ && partial_->use(*list)) {
        list_ = list;
        count_missing();
        co_return Result<void>{};
    }
    if (partial_) {
        partial_->discard();
        partial_.reset();
    }
    auto const last = static_cast<std::uint32_t>(list->count() - 1);
    auto const asked = co_await worker.source.request(last);
    if (!asked) {
        co_return asked;
    }
    auto const bytes = co_await worker.source.receive(*list);
    if (!bytes) {
        co_return std::unexpected(bytes.error());
    }
    auto const piece = *bytes;
    auto const is_right = co_await run_on_pool(env_, [list, last, piece] { return list->matches(last, *piece); });
    if (!is_right) {
        co_return fail(ErrorKind::malformed, "piece {} has not the right bytes", last);
    }
    auto incoming = models::Incoming{
        .key = wanted_.model, .size_bytes = list->size_bytes(), .digest = wanted_.model, .pieces = *list};
    if (halted_) {
        co_return Result<void>{};
    }
    auto begun = co_await store_.begin(std::move(incoming), [](std::uint64_t) {});
    if (!begun) {
        failed_ = begun.error();
        co_return Result<void>{};
    }
    auto const partial = std::shared_ptr<models::Partial>(std::move(*begun));
    auto const written = co_await partial->write(last, piece);
    if (halted_) {
        co_return Result<void>{};
    }
    if (!written) {
        failed_ = written.error();
        co_return Result<void>{};
    }
    partial_ = partial;
    standings_[worker.peer()].bytes += piece->size();
    last_piece_ = env_.now();
    has_brought_ = true;
    list_ = list;
    count_missing();
    co_return Result<void>{};
}

void Copying::dispute(PeerId const& peer, List const& other)
{
    auto const waiting = std::ranges::count_if(standings_,
                                               [](auto const& entry) { return entry.second.other_list != nullptr; });
    if (static_cast<std::size_t>(waiting) >= max_other_lists) {
        return leave(peer, Error{ErrorKind::unavailable, "too many devices describe the model in other ways"});
    }
    log::warning("two devices describe a model in different ways; the pieces will tell who is wrong",
                 {{"device", name_of_(peer)}, {"peer", peer.short_text()}});
    standings_[peer].other_list = other;
    urgent_.insert(piece_in_dispute(*list_, *other));
}

Task<Result<void>> Copying::take_pieces(std::shared_ptr<Worker> worker)
{
    auto const taken = co_await take_one_after_another(worker);
    while (worker->checking > 0) {
        co_await worker->freed.wait();
    }
    if (worker->lied) {
        co_return fail(ErrorKind::malformed, "a piece has not the right bytes");
    }
    if (taken) {
        co_await worker->source.close();
    }
    co_return taken;
}

Task<Result<void>> Copying::take_one_after_another(std::shared_ptr<Worker> worker)
{
    auto& source = worker->source;
    while (!halted_ && !failed_ && !worker->lied && !partial_->is_complete()) {
        while (source.requested() < requests_ahead) {
            auto const piece = next_piece(*worker);
            if (!piece) {
                break;
            }
            auto const asked = co_await source.request(*piece);
            if (!asked) {
                co_return asked;
            }
        }
        if (source.requested() == 0) {
            co_await wait_a_moment();
            continue;
        }
        auto const piece = source.next();
        auto bytes = co_await source.receive(*list_);
        if (!bytes) {
            co_return std::unexpected(bytes.error());
        }
        while (worker->checking >= checks_at_once) {
            co_await worker->freed.wait();
        }
        ++worker->checking;
        ++keeping_;
        tasks_.spawn("keep a piece", keep_piece(shared_from_this(), worker, piece, std::move(*bytes)));
    }
    co_return Result<void>{};
}

/// What decides first, then front to back; in the end what another source is late with.
std::optional<std::uint32_t> Copying::next_piece(Worker& worker)
{
    if (worker.lied || halted_) {
        return std::nullopt;
    }
    while (!urgent_.empty()) {
        auto const piece = *urgent_.begin();
        urgent_.erase(urgent_.begin());
        if (open_.erase(piece) > 0) {
            flights_.insert_or_assign(piece, Flight{worker.peer(), env_.now()});
            return piece;
        }
    }
    if (!open_.empty()) {
        auto const piece = *open_.begin();
        open_.erase(open_.begin());
        flights_.insert_or_assign(piece, Flight{worker.peer(), env_.now()});
        return piece;
    }
    for (auto& [piece, flight] : flights_) {
        if (flight.peer != worker.peer() && flight.takers == 1 && env_.now() - flight.since > late_after) {
            ++flight.takers;
            return piece;
        }
    }
    return std::nullopt;
}

Task<> Copying::keep_piece(std::shared_ptr<Copying> self, std::shared_ptr<Worker> worker, std::uint32_t piece,
                           std::shared_ptr<Bytes> bytes)
{
    struct AtEnd {
        Copying& copying;
        Worker& worker;
        ~AtEnd()
        {
            --copying.keeping_;
            --worker.checking;
            worker.freed.notify();
            copying.changed_.notify();
        }
    };
    auto const at_end = AtEnd{*self, *worker};
    auto const partial = self->partial_;
    if (!partial || partial->has(piece)) {
        co_return;  // another source was faster
    }
    auto const written = co_await partial->write(piece, bytes);
    if (written) {
        self->flights_.erase(piece);
        self->open_.erase(piece);
        self->standings_[worker->peer()].bytes += bytes->size();
        self->standings_[worker->peer()].retry_pause = {};
        self->last_piece_ = self->env_.now();
        self->has_brought_ = true;
        self->pace_.emplace_back(self->env_.now(), bytes->size());
    } else if (written.error().kind == ErrorKind::malformed) {
        worker->lied = true;
        worker->source.reset();
    } else {
        self->failed_ = written.error();
    }
}

/// What it was asked for and has not brought is open again.
void Copying::return_pieces(Worker& worker)
{
    for (auto flight = flights_.begin(); flight != flights_.end();) {
        if (flight->second.peer == worker.peer()) {
            open_.insert(flight->first);
            flight = flights_.erase(flight);
        } else {
            ++flight;
        }
    }
}

}  // namespace plexus::blobs
