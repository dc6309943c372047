#include "catalog/catalog.h"

#include <cmath>

#include "base/log.h"
#include "catalog/hardware.h"
#include "stream/messages.h"

namespace plexus::catalog {

namespace {

using host::Stream;

constexpr std::size_t max_devices = 1024;
constexpr std::size_t max_new_streams_per_member = 4;  // that have sent nothing yet
constexpr auto send_gap = std::chrono::milliseconds(500);
constexpr auto receive_gap = send_gap / 2;  // a faster sender is held back by its stream
constexpr auto first_snapshot_limit = std::chrono::seconds(10);
constexpr auto open_limit = std::chrono::seconds(10);
constexpr auto first_retry_pause = std::chrono::milliseconds(50);
constexpr auto longest_retry_pause = std::chrono::seconds(5);
constexpr auto good_stream_age = std::chrono::seconds(10);  // the next retry is quick again
constexpr auto memory_interval = std::chrono::seconds(10);
constexpr std::uint64_t memory_step_share = 32;  // a smaller change of free memory is not told
constexpr double newest_weight = 0.3;

void add_observation(Rate& rate, double per_second)
{
    if (!(per_second > 0) || !std::isfinite(per_second)) {
        return;
    }
    rate.per_second = rate.is_estimate() ? per_second : rate.per_second + newest_weight * (per_second - rate.per_second);
    rate.observations = std::min(rate.observations, UINT32_MAX - 1) + 1;
}

/// Our stream to one connected member.
struct Outgoing {
    explicit Outgoing(Executor executor) : changed(std::move(executor)) {}
    bool member_gone = false;
    Stream const* stream = nullptr;  ///< until the other side ends it
    Signal changed;
};

class CatalogImpl final : public Catalog {
public:
    CatalogImpl(Env& env, Options options) : env_(env), tasks_(env.executor())
    {
        own_.boot_epoch = static_cast<std::uint64_t>(env.wall_now().time_since_epoch().count());
        own_.version = std::move(options.version);
    }

    void start(host::Host& host) override;
    void set_gpus(std::vector<Gpu> gpus) override;
    void set_models(std::vector<Model> models) override;
    void set_loaded(std::vector<LoadedModel> models) override;
    void set_load(std::uint32_t running, std::uint32_t queued) override;
    void set_paused(bool paused) override;
    void observe(ModelDigest const& model, double prefill_per_second, double decode_per_second) override;
    std::vector<Entry> entries() const override;
    std::vector<Holder> who_holds(ModelDigest const& model) const override;
    std::vector<Holder> who_holds(std::string_view name) const override;
    void forget(PeerId const& device) override;
    void on_change(std::function<void()> action) override { actions_.push_back(std::move(action)); }
    Task<> stop() override;

private:
    struct Incoming {
        Stream* stream = nullptr;
        std::uint64_t boot_epoch = 0;
    };
    class Feed;

    void refresh();
    void notify();
    void member_connected(PeerId const& peer);
    void member_disconnected(PeerId const& peer);
    Task<> send_to(PeerId peer, std::shared_ptr<Outgoing> outgoing);
    Task<> send_on_one_stream(PeerId peer, std::shared_ptr<Outgoing> outgoing);
    static Task<> watch_end(std::shared_ptr<Stream> stream, std::shared_ptr<Outgoing> outgoing);
    Task<> receive(std::unique_ptr<Stream> stream);
    Task<Result<Snapshot>> receive_first(Stream& stream);
    Task<> watch_memory();

    Env& env_;
    host::Host* host_ = nullptr;
    Snapshot own_;
    std::map<ModelDigest, LoadedState> loaded_;
    std::map<ModelDigest, Speed> speeds_;
    std::shared_ptr<Snapshot const> published_;
    std::map<PeerId, std::shared_ptr<Outgoing>> outgoing_;
    std::map<PeerId, Incoming> incoming_;
    std::map<PeerId, std::size_t> new_streams_;
    std::map<PeerId, Entry> entries_;
    std::vector<std::function<void()>> actions_;
    TaskScope tasks_;
};

void CatalogImpl::start(host::Host& host)
{
    PLEXUS_ASSERT(host_ == nullptr);
    host_ = &host;
    own_.hardware = probe_hardware(env_.disk());
    refresh();
    host.handle(std::string(catalog_protocol), host::Admission::member,
                [this](std::unique_ptr<Stream> stream) { return receive(std::move(stream)); });
    host.on_member_connected([this](PeerId const& peer) { member_connected(peer); });
    host.on_member_disconnected([this](PeerId const& peer) { member_disconnected(peer); });
    for (auto const& connection : host.connections()) {
        if (connection.admission == host::Admission::member) {
            member_connected(connection.peer);
        }
    }
    tasks_.spawn("watch free memory", watch_memory());
}

Task<> CatalogImpl::stop()
{
    actions_.clear();
    co_await tasks_.join();
}

void CatalogImpl::set_gpus(std::vector<Gpu> gpus)
{
    gpus.resize(std::min(gpus.size(), max_gpus));
    own_.hardware.gpus = std::move(gpus);
    refresh();
}

void CatalogImpl::set_models(std::vector<Model> models)
{
    models.resize(std::min(models.size(), max_models));
    own_.models = std::move(models);
    std::erase_if(speeds_, [this](auto const& item) { return own_.find(item.first) == nullptr; });
    refresh();
}

void CatalogImpl::set_loaded(std::vector<LoadedModel> models)
{
    loaded_.clear();
    for (auto const& model : models) {
        loaded_[model.digest] = model.state;
    }
    refresh();
}

void CatalogImpl::set_load(std::uint32_t running, std::uint32_t queued)
{
    own_.running = running;
    own_.queued = queued;
    refresh();
}

void CatalogImpl::set_paused(bool paused)
{
    own_.is_paused = paused;
    refresh();
}

void CatalogImpl::observe(ModelDigest const& model, double prefill_per_second, double decode_per_second)
{
    auto const is_measured = prefill_per_second > 0 || decode_per_second > 0;
    if (!is_measured || own_.find(model) == nullptr) {
        return;
    }
    auto& speed = speeds_[model];
    add_observation(speed.prefill, prefill_per_second);
    add_observation(speed.decode, decode_per_second);
    refresh();
}

/// Publishes what this device offers now, if it differs from the last.
void CatalogImpl::refresh()
{
    if (host_ == nullptr) {
        return;
    }
    for (auto& model : own_.models) {
        auto const loaded = loaded_.find(model.digest);
        model.loaded = loaded == loaded_.end() ? std::nullopt : std::optional(loaded->second);
        auto const measured = speeds_[model.digest];
        auto const estimate = estimate_speed(own_.hardware, model);
        model.speed.prefill = measured.prefill.is_estimate() ? estimate.prefill : measured.prefill;
        model.speed.decode = measured.decode.is_estimate() ? estimate.decode : measured.decode;
    }
    if (published_ && *published_ == own_) {
        return;
    }
    ++own_.sequence;
    published_ = std::make_shared<Snapshot const>(own_);
    for (auto const& [peer, outgoing] : outgoing_) {
        outgoing->changed.notify();
    }
    notify();
}

void CatalogImpl::notify()
{
    for (auto const& action : actions_) {
        action();
    }
}

std::vector<Entry> CatalogImpl::entries() const
{
    auto found = std::vector<Entry>{};
    if (published_) {
        found.push_back({host_->local_peer(), true, State::ready, env_.now(), published_});
    }
    for (auto const& [peer, entry] : entries_) {
        found.push_back(entry);
    }
    return found;
}

template <typename Matches>
std::vector<Holder> holders(std::vector<Entry> entries, Matches matches)
{
    auto found = std::vector<Holder>{};
    for (auto const& entry : entries) {
        for (auto const& model : entry.snapshot->models) {
            if (matches(model)) {
                found.push_back({entry, &model});
            }
        }
    }
    return found;
}

std::vector<Holder> CatalogImpl::who_holds(ModelDigest const& digest) const
{
    return holders(entries(), [&](Model const& model) { return model.digest == digest; });
}

std::vector<Holder> CatalogImpl::who_holds(std::string_view name) const
{
    return holders(entries(), [&](Model const& model) { return std::ranges::find(model.names, name) != model.names.end(); });
}

void CatalogImpl::forget(PeerId const& device)
{
    if (auto const current = incoming_.find(device); current != incoming_.end()) {
        current->second.stream->reset();
        incoming_.erase(current);
    }
    if (entries_.erase(device) > 0) {
        notify();
    }
}

void CatalogImpl::member_connected(PeerId const& peer)
{
    auto& outgoing = outgoing_[peer];
    if (!outgoing) {
        outgoing = std::make_shared<Outgoing>(env_.executor());
        tasks_.spawn("catalog to " + peer.short_text(), send_to(peer, outgoing));
    }
}

void CatalogImpl::member_disconnected(PeerId const& peer)
{
    if (auto const found = outgoing_.find(peer); found != outgoing_.end()) {
        found->second->member_gone = true;
        found->second->changed.notify();
        outgoing_.erase(found);
    }
}

Task<> CatalogImpl::send_to(PeerId peer, std::shared_ptr<Outgoing> outgoing)
{
    auto pause = Duration(first_retry_pause);
    while (!outgoing->member_gone) {
        auto const begin = env_.now();
        co_await send_on_one_stream(peer, outgoing);
        // The other side may not count us as a member yet, or ended the stream: connected still, so again later.
        pause = env_.now() - begin < good_stream_age ? pause : first_retry_pause;
        co_await sleep_for(env_, pause);
        pause = std::min<Duration>(2 * pause, longest_retry_pause);
    }
}

Task<> CatalogImpl::send_on_one_stream(PeerId peer, std::shared_ptr<Outgoing> outgoing)
{
    auto opened = co_await host_->open_stream(peer, std::string(catalog_protocol), env_.deadline_in(open_limit));
    if (!opened) {
        co_return;
    }
    auto const stream = std::shared_ptr<Stream>(std::move(*opened));
    outgoing->stream = stream.get();
    std::uint64_t sent = 0;
    while (!outgoing->member_gone && outgoing->stream == stream.get()) {
        if (published_->sequence == sent) {
            co_await outgoing->changed.wait();
            continue;
        }
        auto const first = sent == 0;
        sent = published_->sequence;
        auto const message = encode(*published_);
        auto const written = co_await stream::write_message(*stream, message);
        if (!written) {
            break;
        }
        if (first) {
            tasks_.spawn("catalog end of " + peer.short_text(), watch_end(stream, outgoing));
        }
        co_await sleep_for(env_, send_gap);
    }
    stream->reset();
}

/// Nothing ever comes back on our stream but its end.
Task<> CatalogImpl::watch_end(std::shared_ptr<Stream> stream, std::shared_ptr<Outgoing> outgoing)
{
    auto buffer = std::array<std::byte, 1>{};
    std::ignore = co_await stream->read_some(buffer);
    if (outgoing->stream == stream.get()) {
        outgoing->stream = nullptr;
        outgoing->changed.notify();
    }
}

/// While it lives, its stream is the one that speaks for the device; then the device is away.
class CatalogImpl::Feed {
public:
    Feed(CatalogImpl& catalog, Stream& stream, std::uint64_t boot_epoch)
        : catalog_(catalog), stream_(stream), peer_(stream.peer()), boot_epoch_(boot_epoch)
    {
        auto& current = catalog_.incoming_[peer_];
        if (current.stream != nullptr) {
            current.stream->reset();
        }
        current = {&stream, boot_epoch};
    }
    Feed(Feed const&) = delete;
    ~Feed()
    {
        if (!is_current()) {
            return;
        }
        catalog_.incoming_.erase(peer_);
        if (auto const entry = catalog_.entries_.find(peer_); entry != catalog_.entries_.end()) {
            entry->second.state = State::away;
            catalog_.notify();
        }
    }

    bool is_current() const
    {
        auto const found = catalog_.incoming_.find(peer_);
        return found != catalog_.incoming_.end() && found->second.stream == &stream_;
    }

    /// False ends the stream: the snapshot does not follow on the one before.
    bool take(Snapshot snapshot)
    {
        if (!is_current() || snapshot.boot_epoch != boot_epoch_ || snapshot.sequence <= sequence_) {
            return false;
        }
        sequence_ = snapshot.sequence;
        auto shared = std::make_shared<Snapshot const>(std::move(snapshot));
        catalog_.entries_[peer_] = Entry{peer_, false, State::ready, catalog_.env_.now(), std::move(shared)};
        catalog_.notify();
        return true;
    }

private:
    CatalogImpl& catalog_;
    Stream& stream_;
    PeerId peer_;
    std::uint64_t boot_epoch_;
    std::uint64_t sequence_ = 0;
};

Result<Snapshot> decoded(Result<Bytes> const& message)
{
    return message ? decode_snapshot(*message) : std::unexpected(message.error());
}

Task<Result<Snapshot>> CatalogImpl::receive_first(Stream& stream)
{
    struct Counted {
        std::map<PeerId, std::size_t>& counts;
        PeerId peer;
        Counted(std::map<PeerId, std::size_t>& all, PeerId from) : counts(all), peer(std::move(from)) { ++counts[peer]; }
        ~Counted()
        {
            if (--counts[peer] == 0) {
                counts.erase(peer);
            }
        }
    };
    auto const counted = Counted(new_streams_, stream.peer());
    auto const known = entries_.contains(counted.peer) || entries_.size() < max_devices;
    if (!known || new_streams_[counted.peer] > max_new_streams_per_member) {
        co_return fail(ErrorKind::unavailable, "too many catalog streams");
    }
    auto const limit = env_.deadline_in(first_snapshot_limit);
    auto const message = co_await with_deadline(env_, limit, stream::read_message(stream, max_snapshot_bytes));
    co_return decoded(message);
}

Task<> CatalogImpl::receive(std::unique_ptr<Stream> stream)
{
    auto snapshot = co_await receive_first(*stream);
    if (!snapshot) {
        log::debug("a catalog stream began badly", {{"peer", stream->peer().short_text()}, {"reason", snapshot.error().text}});
        co_return;
    }
    auto const current = incoming_.find(stream->peer());
    if (current != incoming_.end() && current->second.boot_epoch > snapshot->boot_epoch) {
        co_return;  // a late word of a life that is over
    }
    auto feed = Feed(*this, *stream, snapshot->boot_epoch);
    while (snapshot && feed.take(std::move(*snapshot))) {
        co_await sleep_for(env_, receive_gap);
        auto const message = co_await stream::read_message(*stream, max_snapshot_bytes);
        snapshot = decoded(message);
    }
    log::debug("a catalog stream ended", {{"peer", stream->peer().short_text()}});
}

Task<> CatalogImpl::watch_memory()
{
    for (;;) {
        co_await sleep_for(env_, memory_interval);
        auto const memory = probe_memory(env_.disk());
        auto const told = own_.hardware.free_memory_bytes;
        auto const change = std::max(told, memory.available_bytes) - std::min(told, memory.available_bytes);
        if (change > memory.total_bytes / memory_step_share) {
            own_.hardware.free_memory_bytes = memory.available_bytes;
            refresh();
        }
    }
}

}  // namespace

std::unique_ptr<Catalog> make_catalog(Env& env, Options options)
{
    return std::make_unique<CatalogImpl>(env, std::move(options));
}

}  // namespace plexus::catalog
