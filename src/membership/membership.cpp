#include "membership/membership.h"

#include "base/log.h"
#include "membership/identity_file.h"
#include "security/identity.h"
#include "stream/messages.h"

namespace plexus::membership {

using host::Admission;
using host::Direction;
using stream::read_message;
using stream::write_message;

namespace {

constexpr unsigned owner_only = 0600;
constexpr std::size_t max_address_file_bytes = 512 * 1024;
constexpr std::size_t founding_nonce_bytes = 16;
constexpr auto step_limit = std::chrono::seconds(10);
constexpr auto dial_limit = std::chrono::seconds(10);
constexpr auto first_pause = std::chrono::seconds(1);
constexpr auto longest_pause = std::chrono::seconds(60);

Result<Log> load_or_found_log(Env& env, std::filesystem::path const& path, crypto::KeyPair const& identity,
                              std::string const& name)
{
    auto const content = env.disk().read_file(path, max_log_bytes + 64);
    if (!content && content.error().kind == ErrorKind::not_found) {
        auto nonce = env.random("membership").bytes(founding_nonce_bytes);
        auto log = Log::found(identity, name, env.wall_now(), std::move(nonce));
        auto written = env.disk().write_file(path, log.encode(), owner_only);
        return written ? Result<Log>(std::move(log)) : std::unexpected(written.error());
    }
    auto log = and_then(content, [](Bytes const& bytes) { return Log::decode(bytes); });
    if (!log) {
        return fail(log.error().kind, "{} cannot be used ({}): put a copy back, or move it away to begin a new mesh",
                    path.string(), log.error().text);
    }
    return log;
}

/// A name of the device that the log can hold.
std::string usable(std::string name)
{
    return is_usable_name(name) ? name : std::string("device");
}

PairingMessage refused(PairingRefusal reason)
{
    auto message = PairingMessage(PairingMessage::Kind::refused);
    message.refusal = reason;
    return message;
}

Error error_of(PairingRefusal reason)
{
    switch (reason) {
    case PairingRefusal::expired: return {ErrorKind::timed_out, "the invite has expired"};
    case PairingRefusal::used: return {ErrorKind::not_allowed, "the invite was used already; each lets one device in"};
    case PairingRefusal::wrong_secret: return {ErrorKind::not_allowed, "the link is not the one that was printed"};
    case PairingRefusal::failed: return {ErrorKind::unavailable, "the other device could not write its membership log"};
    case PairingRefusal::unknown_invite: break;
    }
    return {ErrorKind::not_allowed, "the other device does not know this invite any more: it was withdrawn, or Plexus "
                                    "was started again there"};
}

Task<Result<PairingMessage>> read_pairing(Env& env, host::Stream& stream, std::size_t limit, Deadline deadline)
{
    auto const bytes = co_await with_deadline(env, deadline, read_message(stream, limit));
    if (!bytes) {
        co_return std::unexpected(bytes.error());
    }
    co_return decode_pairing(*bytes);
}

Task<Result<void>> write_pairing(Env& env, host::Stream& stream, PairingMessage const& message, Deadline deadline)
{
    auto const bytes = encode(message);
    co_return co_await with_deadline(env, deadline, write_message(stream, bytes));
}

}  // namespace

Result<std::unique_ptr<Membership>> Membership::open(Env& env, std::filesystem::path folder, std::string device_name)
{
    if (auto made = env.disk().make_folders(folder, 0700); !made) {
        return std::unexpected(made.error());
    }
    auto identity = load_or_make_identity(env, folder / "identity.key");
    if (!identity) {
        return std::unexpected(identity.error());
    }
    auto log = load_or_found_log(env, folder / "membership.log", *identity, usable(std::move(device_name)));
    if (!log) {
        return std::unexpected(log.error());
    }
    if (log->is_revoked(security::peer_id_of(identity->public_key()))) {
        log::warning("this device was removed from its mesh; move membership.log away to begin a new one");
    }
    auto membership = std::unique_ptr<Membership>(
        new Membership(env, std::move(folder), std::move(*identity), std::move(*log)));
    membership->load_addresses();
    return membership;
}

Membership::Membership(Env& env, std::filesystem::path folder, crypto::KeyPair identity, Log log)
    : env_(env), folder_(std::move(folder)), identity_(std::move(identity)),
      self_(security::peer_id_of(identity_.public_key())), log_(std::move(log)), wake_(env.executor()),
      tasks_(env.executor())
{
}

Membership::~Membership() = default;

Result<void> Membership::save(Log const& log)
{
    return env_.disk().write_file(log_file(), log.encode(), owner_only);
}

void Membership::load_addresses()
{
    auto content = env_.disk().read_file(address_file(), max_address_file_bytes);
    auto const message = and_then(content, [](Bytes const& bytes) { return decode_sync(bytes); });
    if (message) {
        loaded_addresses_ = message->hints;
        saved_addresses_ = std::move(*content);
    }
}

void Membership::save_addresses()
{
    auto bytes = encode(SyncMessage{.mesh = {}, .heads = {}, .entries = {}, .hints = hints()});
    if (bytes != saved_addresses_ && env_.disk().write_file(address_file(), bytes, owner_only)) {
        saved_addresses_ = std::move(bytes);
    }
}

std::vector<Member> Membership::members() const
{
    auto list = std::vector<Member>{};
    for (auto const& [device, standing] : log_.members()) {
        list.push_back({.device = device,
                        .name = standing.name,
                        .role = standing.role,
                        .since = standing.since,
                        .is_self = device == self_});
    }
    std::ranges::sort(list, {}, [](Member const& member) { return std::tuple(!member.is_self, member.name, member.device); });
    return list;
}

std::optional<Member> Membership::find(PeerId const& device) const
{
    auto const found = log_.members().find(device);
    if (found == log_.members().end()) {
        return std::nullopt;
    }
    auto const& standing = found->second;
    return Member{.device = device,
                  .name = standing.name,
                  .role = standing.role,
                  .since = standing.since,
                  .is_self = device == self_};
}

bool Membership::allow_address(Endpoint const&, Direction)
{
    return true;
}

Admission Membership::admit(PeerId const& peer, Direction direction)
{
    auto const& members = log_.members();
    if (members.contains(peer) && members.contains(self_)) {
        return Admission::member;
    }
    auto const may_pair = direction == Direction::outbound ? joining_ == peer : invites_.any(env_.now());
    return may_pair ? Admission::pairing : Admission::refused;
}

void Membership::start(host::Host& host)
{
    PLEXUS_ASSERT(host_ == nullptr);
    host_ = &host;
    for (auto& hint : std::exchange(loaded_addresses_, {})) {
        host.remember_addresses(hint.device, std::move(hint.addresses));
    }
    host.handle(membership_protocol, Admission::member,
                [this](std::unique_ptr<host::Stream> stream) { return serve_exchange(std::move(stream)); });
    host.handle(pairing_protocol, Admission::pairing,
                [this](std::unique_ptr<host::Stream> stream) { return serve_pairing(std::move(stream)); });
    host.on_member_connected([this](PeerId const& peer) {
        retries_.erase(peer);
        exchange_with(peer);
    });
    host.on_member_disconnected([this](PeerId const&) { wake_.notify(); });
    tasks_.spawn("keep in touch with the members", keep_in_touch());
}

Task<> Membership::stop()
{
    if (invite_timer_) {
        env_.cancel_timer(*invite_timer_);
    }
    co_await tasks_.join();
    if (host_ != nullptr) {
        save_addresses();
    }
}

// --- the log between members

std::vector<AddressHint> Membership::hints() const
{
    auto list = std::vector<AddressHint>{};
    for (auto const& [device, standing] : log_.members()) {
        auto addresses = device == self_ ? host_->listen_addresses() : host_->remembered_addresses(device);
        addresses.resize(std::min(addresses.size(), max_addresses_per_device));
        if (!addresses.empty() && list.size() < max_hints) {
            list.push_back({.device = device, .addresses = std::move(addresses)});
        }
    }
    return list;
}

SyncMessage Membership::greeting() const
{
    return {.mesh = log_.mesh(), .heads = log_.heads(), .entries = {}, .hints = hints()};
}

namespace {

void add_missing(SyncMessage& message, Log const& log, std::vector<EntryId> const& known)
{
    for (auto const* entry : log.missing_from(known)) {
        message.entries.push_back(entry->bytes);
    }
}

}  // namespace

/// Takes what is new; true if members may have changed. Errors: those of a peer that breaks the rules.
Result<bool> Membership::take(SyncMessage const& message)
{
    if (message.mesh && *message.mesh != log_.mesh()) {
        return fail(ErrorKind::not_allowed, "a member speaks of another mesh");
    }
    auto is_news = false;
    for (auto const& bytes : message.entries) {
        auto taken = and_then(parse_entry(bytes), [this](Entry entry) { return log_.insert(std::move(entry)); });
        if (!taken && taken.error().kind != ErrorKind::unavailable && taken.error().kind != ErrorKind::not_found) {
            return std::unexpected(taken.error());
        }
        is_news = is_news || taken.value_or(false);
    }
    for (auto const& hint : message.hints) {
        if (hint.device != self_ && log_.members().contains(hint.device)) {
            host_->remember_addresses(hint.device, hint.addresses);
        }
    }
    return is_news;
}

/// Makes the new state last and known: on disk, at the door, to the others.
void Membership::changed(std::optional<PeerId> from)
{
    if (auto saved = save(log_); !saved) {
        log::error("the membership log could not be written", {{"why", saved.error().text}});
    }
    host_->reconsider();
    auto told = std::set<PeerId>{self_};
    if (from) {
        told.insert(*from);
    }
    for (auto const& connection : host_->connections()) {
        if (connection.admission == Admission::member && told.insert(connection.peer).second) {
            exchange_with(connection.peer);
        }
    }
    wake_.notify();
    for (auto const& action : on_change_) {
        action();
    }
}

void Membership::exchange_with(PeerId const& peer)
{
    auto& exchange = exchanges_[peer];
    if (exchange.is_running) {
        exchange.again = true;
        return;
    }
    exchange.is_running = true;
    tasks_.spawn("exchange membership with " + peer.short_text(), run_exchanges(peer));
}

Task<> Membership::run_exchanges(PeerId peer)
{
    do {
        exchanges_[peer].again = false;
        auto const done = co_await exchange_once(peer);
        if (!done) {
            log::debug("no exchange of membership logs", {{"peer", peer.short_text()}, {"why", done.error().text}});
        }
    } while (exchanges_[peer].again && is_connected(peer));
    exchanges_.erase(peer);
    save_addresses();
}

Task<Result<void>> Membership::exchange_once(PeerId peer)
{
    auto const deadline = env_.deadline_in(step_limit);
    auto opened = co_await host_->open_stream(peer, membership_protocol, deadline);
    if (!opened) {
        co_return std::unexpected(opened.error());
    }
    auto& stream = **opened;
    auto const first = encode(greeting());
    auto const asked = co_await with_deadline(env_, deadline, write_message(stream, first));
    if (!asked) {
        co_return std::unexpected(asked.error());
    }
    auto const bytes = co_await with_deadline(env_, deadline, read_message(stream, max_sync_bytes));
    auto const answer = and_then(bytes, [](Bytes const& message) { return decode_sync(message); });
    auto const is_news = and_then(answer, [this](SyncMessage const& message) { return take(message); });
    if (!is_news) {
        stream.reset();
        co_return std::unexpected(is_news.error());
    }
    if (*is_news) {
        changed(peer);
    }
    auto last = SyncMessage{.mesh = log_.mesh(), .heads = {}, .entries = {}, .hints = {}};
    add_missing(last, log_, answer->heads);
    auto const last_bytes = encode(last);
    auto const told = co_await with_deadline(env_, deadline, write_message(stream, last_bytes));
    if (!told) {
        co_return std::unexpected(told.error());
    }
    co_return co_await stream.close_write();
}

Task<> Membership::serve_exchange(std::unique_ptr<host::Stream> stream)
{
    auto const peer = stream->peer();
    auto const deadline = env_.deadline_in(step_limit);
    for (auto step = 0; step < 2; ++step) {
        auto const bytes = co_await with_deadline(env_, deadline, read_message(*stream, max_sync_bytes));
        auto const message = and_then(bytes, [](Bytes const& content) { return decode_sync(content); });
        auto const is_news = and_then(message, [this](SyncMessage const& content) { return take(content); });
        if (!is_news) {
            log::warning("a member broke the exchange of membership logs",
                         {{"peer", peer.short_text()}, {"why", is_news.error().text}});
            stream->reset();
            co_return;
        }
        if (*is_news) {
            changed(peer);
        }
        if (step == 0) {
            auto answer = greeting();
            add_missing(answer, log_, message->heads);
            auto const answer_bytes = encode(answer);
            auto const told = co_await with_deadline(env_, deadline, write_message(*stream, answer_bytes));
            if (!told) {
                co_return;
            }
        }
    }
    std::ignore = co_await stream->close_write();
}

// --- letting a device in

Result<Invite> Membership::invite(Role role, Duration lifetime)
{
    auto const own = find(self_);
    if (!own || own->role != Role::owner) {
        return fail(ErrorKind::not_allowed, "only an owner may invite; ask on a device that is one");
    }
    auto addresses = host_->listen_addresses();
    std::erase_if(addresses, [](Multiaddr const& address) {
        auto const endpoint = address.tcp_endpoint();
        return !endpoint || endpoint->address.is_loopback();
    });
    if (addresses.empty()) {
        addresses = host_->listen_addresses();
    }
    if (addresses.empty()) {
        return fail(ErrorKind::unavailable, "this device listens on no address that another one could reach");
    }
    addresses.resize(std::min(addresses.size(), max_addresses_per_device));
    auto& random = env_.random("invites");
    auto link = InviteLink{.device = self_,
                           .addresses = std::move(addresses),
                           .invite_id = random.bytes(invite_id_bytes),
                           .secret = random.bytes(secret_bytes),
                           .expires = std::chrono::time_point_cast<std::chrono::milliseconds>(env_.wall_now() + lifetime)};
    auto invite = invites_.open(std::move(link), role, env_.now() + lifetime);
    watch_invites();
    return invite;
}

std::vector<Invite> Membership::invites()
{
    return invites_.list(env_.now());
}

Result<void> Membership::withdraw(std::string const& invite_id)
{
    auto withdrawn = invites_.withdraw(invite_id);
    host_->reconsider();
    return withdrawn;
}

/// Shows strangers out when the last invite has ended.
void Membership::watch_invites()
{
    if (invite_timer_) {
        env_.cancel_timer(std::exchange(invite_timer_, std::nullopt).value());
    }
    auto last = WallTime{};
    for (auto const& invite : invites()) {
        last = std::max(last, invite.expires);
    }
    if (last == WallTime{}) {
        return;
    }
    auto const wait = std::max<Duration>(last - env_.wall_now(), std::chrono::seconds(1)) + std::chrono::seconds(1);
    invite_timer_ = env_.start_timer(env_.now() + wait, [this] {
        invite_timer_.reset();
        host_->reconsider();
        watch_invites();
    });
}

Task<> Membership::serve_pairing(std::unique_ptr<host::Stream> stream)
{
    auto const peer = stream->peer();
    auto const deadline = env_.deadline_in(step_limit);
    auto hello = co_await read_pairing(env_, *stream, max_first_pairing_bytes, deadline);
    if (!hello || hello->kind != PairingMessage::Kind::hello) {
        stream->reset();
        co_return;
    }
    auto const answer = co_await let_in(*stream, std::move(*hello));
    if (!answer) {
        stream->reset();
        co_return;
    }
    auto const told = co_await write_pairing(env_, *stream, *answer, deadline);
    if (told && answer->kind == PairingMessage::Kind::accepted) {
        std::ignore = co_await read_pairing(env_, *stream, max_first_pairing_bytes, deadline);  // done
    }
    std::ignore = co_await stream->close_write();
    // The joiner comes again as a member, on a connection of its own.
    tasks_.spawn("part with " + peer.short_text(), part_with(peer));
}

Task<Result<PairingMessage>> Membership::let_in(host::Stream& stream, PairingMessage hello)
{
    auto const open = invites_.find(hello.invite_id, env_.now());
    if (!open) {
        co_return refused(open.error());
    }
    auto transcript = PairingTranscript{.joiner = stream.peer(),
                                        .host = self_,
                                        .invite_id = std::move(hello.invite_id),
                                        .name = std::move(hello.name),
                                        .joiner_nonce = std::move(hello.nonce),
                                        .host_nonce = env_.random("pairing").bytes(nonce_bytes)};
    auto challenge = PairingMessage(PairingMessage::Kind::challenge);
    challenge.nonce = transcript.host_nonce;
    auto const deadline = env_.deadline_in(step_limit);
    auto const asked = co_await write_pairing(env_, stream, challenge, deadline);
    if (!asked) {
        co_return std::unexpected(asked.error());
    }
    auto const proof = co_await read_pairing(env_, stream, max_first_pairing_bytes, deadline);
    if (!proof) {
        co_return std::unexpected(proof.error());
    }
    co_return admit_with(transcript, *proof);
}

Result<PairingMessage> Membership::admit_with(PairingTranscript const& transcript, PairingMessage const& proof)
{
    using Side = PairingTranscript::Side;
    auto const open = invites_.find(transcript.invite_id, env_.now());
    if (!open) {
        return refused(open.error());
    }
    auto const secret = (*open)->link.secret;
    auto const role = (*open)->role;
    auto const expected = transcript.proof_of(Side::joiner, secret);
    if (proof.kind != PairingMessage::Kind::proof || !equal_in_constant_time(expected.bytes(), proof.proof)) {
        invites_.count_wrong_proof(transcript.invite_id);
        log::warning("a device with a wrong secret tried to join", {{"peer", transcript.joiner.short_text()}});
        return refused(PairingRefusal::wrong_secret);
    }
    invites_.use(transcript.invite_id);
    auto grown = log_;
    auto added = grown.add(identity_, transcript.joiner, role, transcript.name, env_.wall_now());
    if (added) {
        added = save(grown);
    }
    if (!added) {
        log::error("a device could not be let in", {{"why", added.error().text}});
        return refused(PairingRefusal::failed);
    }
    log_ = std::move(grown);
    log::info("a device joined", {{"name", transcript.name}, {"peer", transcript.joiner.short_text()}});
    auto answer = PairingMessage(PairingMessage::Kind::accepted);
    answer.proof = to_bytes(transcript.proof_of(Side::host, secret).bytes());
    answer.mesh = greeting();
    add_missing(answer.mesh, log_, {});
    return answer;
}

/// Ends the stranger's connection and tells the others who came.
Task<> Membership::part_with(PeerId peer)
{
    // A moment for the last bytes, which say that the pairing is done.
    co_await sleep_for(env_, std::chrono::milliseconds(50));
    for (auto const& connection : host_->connections()) {
        if (connection.peer == peer && connection.admission == Admission::pairing) {
            host_->disconnect(peer);
            break;
        }
    }
    changed(peer);
}

// --- joining

Task<Result<PeerId>> Membership::join(std::string text, Deadline deadline)
{
    auto const link = InviteLink::parse(text);
    if (!link) {
        co_return std::unexpected(link.error());
    }
    if (link->device == self_) {
        co_return fail(ErrorKind::malformed, "this device made the invite itself; use the link on another one");
    }
    if (log_.members().size() > 1 || !log_.members().contains(self_)) {
        co_return fail(ErrorKind::conflict, "this device is in a mesh with others already");
    }
    if (joining_) {
        co_return fail(ErrorKind::conflict, "this device is joining already");
    }
    joining_ = link->device;
    struct AtEnd {
        ~AtEnd() { joining.reset(); }
        std::optional<PeerId>& joining;
    } const at_end{joining_};

    auto const connected = co_await host_->connect(link->device, link->addresses, deadline);
    if (!connected) {
        auto const kind = connected.error().kind == ErrorKind::not_allowed ? ErrorKind::not_allowed : ErrorKind::unavailable;
        co_return fail(kind, "no way to the device that made the invite: {}", connected.error().text);
    }
    auto const paired = co_await pair_with(*link, deadline);
    host_->disconnect(link->device);
    if (!paired) {
        auto const& error = paired.error();
        auto const is_plain = error.kind == ErrorKind::closed || error.kind == ErrorKind::refused;
        if (is_plain && env_.wall_now() > link->expires) {
            co_return std::unexpected(error_of(PairingRefusal::expired));
        }
        co_return std::unexpected(is_plain ? error_of(PairingRefusal::unknown_invite) : error);
    }
    log::info("joined a mesh", {{"mesh", log_.mesh().text().substr(0, 12)}});
    host_->remember_addresses(link->device, link->addresses);
    std::ignore = co_await host_->connect(link->device, link->addresses, deadline);
    changed(std::nullopt);
    co_return link->device;
}

Task<Result<void>> Membership::pair_with(InviteLink const& link, Deadline deadline)
{
    using Kind = PairingMessage::Kind;
    auto opened = co_await host_->open_stream(link.device, pairing_protocol, deadline);
    if (!opened) {
        co_return std::unexpected(opened.error());
    }
    auto& stream = **opened;
    auto const own = find(self_);
    auto transcript = PairingTranscript{.joiner = self_,
                                        .host = link.device,
                                        .invite_id = link.invite_id,
                                        .name = own ? own->name : "device",
                                        .joiner_nonce = env_.random("pairing").bytes(nonce_bytes),
                                        .host_nonce = {}};
    auto hello = PairingMessage(Kind::hello);
    hello.invite_id = transcript.invite_id;
    hello.name = transcript.name;
    hello.nonce = transcript.joiner_nonce;
    auto const greeted = co_await write_pairing(env_, stream, hello, deadline);
    if (!greeted) {
        co_return std::unexpected(greeted.error());
    }
    auto const challenge = co_await read_pairing(env_, stream, max_first_pairing_bytes, deadline);
    if (!challenge || challenge->kind != Kind::challenge) {
        co_return std::unexpected(challenge ? error_of(challenge->refusal) : challenge.error());
    }
    transcript.host_nonce = challenge->nonce;
    auto proof = PairingMessage(Kind::proof);
    proof.proof = to_bytes(transcript.proof_of(PairingTranscript::Side::joiner, link.secret).bytes());
    auto const proven = co_await write_pairing(env_, stream, proof, deadline);
    if (!proven) {
        co_return std::unexpected(proven.error());
    }
    auto const accepted = co_await read_pairing(env_, stream, max_pairing_bytes, deadline);
    if (!accepted || accepted->kind != Kind::accepted) {
        co_return std::unexpected(accepted ? error_of(accepted->refusal) : accepted.error());
    }
    auto const expected = transcript.proof_of(PairingTranscript::Side::host, link.secret);
    if (!equal_in_constant_time(expected.bytes(), accepted->proof)) {
        co_return fail(ErrorKind::not_allowed, "the other device does not know the secret of the invite");
    }
    auto log = log_from(*accepted, link);
    auto saved = log ? save(*log) : std::unexpected(log.error());
    if (!saved) {
        co_return saved;
    }
    log_ = std::move(*log);
    std::ignore = take(accepted->mesh);
    std::ignore = co_await write_pairing(env_, stream, PairingMessage(Kind::done), deadline);
    std::ignore = co_await stream.close_write();
    // The other side ends when it has seen this; then both know.
    auto nothing = std::array<std::byte, 1>{};
    std::ignore = co_await with_deadline(env_, env_.deadline_in(step_limit).earlier(deadline), stream.read_some(nothing));
    co_return Result<void>{};
}

Result<Log> Membership::log_from(PairingMessage const& accepted, InviteLink const& link) const
{
    auto decoded = Log::from_entries(accepted.mesh.entries);
    if (!decoded) {
        return std::unexpected(decoded.error());
    }
    auto const& members = decoded->members();
    if (!members.contains(self_) || !members.contains(link.device)) {
        return fail(ErrorKind::malformed, "the other device sent a membership log that does not name both devices");
    }
    return decoded;
}

// --- staying connected

bool Membership::is_connected(PeerId const& peer) const
{
    return std::ranges::any_of(host_->connections(), [&](host::ConnectionInfo const& connection) {
        return connection.peer == peer && connection.admission == Admission::member;
    });
}

Task<> Membership::keep_in_touch()
{
    for (;;) {
        auto const next = dial_those_due();
        auto const timer = env_.start_timer(next, [this] { wake_.notify(); });
        struct AtEnd {
            ~AtEnd() { env.cancel_timer(timer); }
            Env& env;
            Env::TimerId timer;
        } const at_end{env_, timer};
        co_await wake_.wait();
    }
}

/// Begins to dial members whose time has come; gives the next time to look.
Time Membership::dial_those_due()
{
    auto const now = env_.now();
    auto next = now + longest_pause;
    for (auto const& [device, standing] : log_.members()) {
        if (device == self_ || !log_.members().contains(self_) || is_connected(device)) {
            continue;
        }
        auto& retry = retries_[device];
        if (retry.is_dialling) {
            continue;
        }
        if (retry.due > now) {
            next = std::min(next, retry.due);
            continue;
        }
        retry.is_dialling = true;
        tasks_.spawn("dial " + device.short_text(), dial(device));
    }
    return next;
}

Task<> Membership::dial(PeerId peer)
{
    auto const addresses = host_->remembered_addresses(peer);
    auto const connected = co_await host_->connect(peer, addresses, env_.deadline_in(dial_limit));
    auto& retry = retries_[peer];
    retry.is_dialling = false;
    if (connected && is_connected(peer)) {
        retries_.erase(peer);
        co_return;
    }
    retry.pause = std::clamp<Duration>(retry.pause * 2, first_pause, longest_pause);
    auto const jitter = Duration(env_.random("redial").below(static_cast<std::uint64_t>(retry.pause.count()) / 2));
    retry.due = env_.now() + retry.pause - jitter;
    wake_.notify();
}

Result<void> Membership::revoke(PeerId const& device)
{
    if (!log_.members().contains(device)) {
        return fail(ErrorKind::not_found, "there is no such device in the mesh");
    }
    auto grown = log_;
    auto done = grown.revoke(identity_, device, env_.wall_now());
    if (done) {
        done = save(grown);
    }
    if (!done) {
        return done;
    }
    log_ = std::move(grown);
    changed(std::nullopt);
    return {};
}

}  // namespace plexus::membership
