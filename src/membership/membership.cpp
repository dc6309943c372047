#include "membership/membership.h"

#include "base/log.h"
#include "membership/identity_file.h"
#include "security/identity.h"

namespace plexus::membership {

using host::Admission;
using host::Direction;

namespace {

constexpr unsigned owner_only = 0600;
constexpr std::size_t max_address_file_bytes = 512 * 1024;
constexpr std::size_t founding_nonce_bytes = 16;

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
    auto const self = security::peer_id_of(identity->public_key());
    if (!log->members().contains(self) && !log->is_revoked(self)) {
        return fail(ErrorKind::malformed, "{} does not name this device: put the identity.key that belongs to it back, or "
                    "move it away to begin a new mesh", (folder / "membership.log").string());
    }
    if (log->is_revoked(self)) {
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
      decided_(env.executor()), tasks_(env.executor())
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

bool Membership::is_owner() const
{
    auto const own = find(self_);
    return own && own->role == Role::owner;
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
    auto const may_pair = direction == Direction::outbound ? joining_ == peer : is_owner() && invites_.any(env_.now());
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
    host.handle(code_protocol, Admission::pairing,
                [this](std::unique_ptr<host::Stream> stream) { return serve_code(std::move(stream)); });
    host.on_member_connected([this](PeerId const& peer) { exchange_with(peer); });
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
