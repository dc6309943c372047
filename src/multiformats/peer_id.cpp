#include "multiformats/peer_id.h"

#include "multiformats/multibase.h"
#include "multiformats/varint.h"

namespace plexus::multiformats {

namespace {

constexpr auto identity_code = std::byte{0x00};
constexpr auto sha256_code = std::byte{0x12};
constexpr std::size_t sha256_size = 32;
constexpr std::uint64_t cid_version = 1;
constexpr std::uint64_t libp2p_key_codec = 0x72;

/// A serialised Ed25519 (type 1) or secp256k1 (type 2) key in its one canonical form: the others are always longer.
bool is_short_public_key(ByteView serialised)
{
    auto const has_head = [&](unsigned type, std::size_t size) {
        auto const head = std::array{std::byte{0x08}, static_cast<std::byte>(type), std::byte{0x12}, static_cast<std::byte>(size)};
        return serialised.size() == head.size() + size && std::ranges::equal(serialised.first(head.size()), head);
    };
    return has_head(1, 32) || has_head(2, 33);
}

Result<PeerId> from_cid(Result<Bytes> cid)
{
    if (!cid) {
        return std::unexpected(cid.error());
    }
    auto rest = ByteView(*cid);
    auto const version = take_varint(rest);
    auto const codec = take_varint(rest);
    if (!version || *version != cid_version || !codec || *codec != libp2p_key_codec) {
        return fail(ErrorKind::malformed, "the peer id is not a CID of version 1 with codec libp2p-key");
    }
    return PeerId::from_bytes(rest);
}

}  // namespace

Result<PeerId> PeerId::from_public_key(ByteView serialised_key)
{
    if (!is_short_public_key(serialised_key)) {
        return fail(ErrorKind::malformed, "the peer id does not hold a public key of a known kind");
    }
    auto multihash = Bytes{identity_code, static_cast<std::byte>(serialised_key.size())};
    append(multihash, serialised_key);
    return PeerId(std::move(multihash));
}

PeerId PeerId::from_key_digest(ByteView digest)
{
    PLEXUS_ASSERT(digest.size() == sha256_size);
    auto multihash = Bytes{sha256_code, static_cast<std::byte>(sha256_size)};
    append(multihash, digest);
    return PeerId(std::move(multihash));
}

Result<PeerId> PeerId::from_bytes(ByteView multihash)
{
    if (multihash.size() < 2 || std::to_integer<std::size_t>(multihash[1]) != multihash.size() - 2) {
        return fail(ErrorKind::malformed, "the peer id is not one multihash");
    }
    if (multihash[0] == identity_code) {
        return from_public_key(multihash.subspan(2));
    }
    if (multihash[0] == sha256_code && multihash.size() == 2 + sha256_size) {
        return from_key_digest(multihash.subspan(2));
    }
    return fail(ErrorKind::malformed, "the peer id uses a hash that peer ids do not have");
}

Result<PeerId> PeerId::from_text(std::string_view text)
{
    if (text.starts_with("1") || text.starts_with("Qm")) {
        return and_then(from_base58(text), [](Bytes const& bytes) { return from_bytes(bytes); });
    }
    if (text.starts_with("b")) {
        return from_cid(from_base32(text.substr(1)));
    }
    if (text.starts_with("k")) {
        return from_cid(from_base36(text.substr(1)));
    }
    if (text.starts_with("z")) {
        return from_cid(from_base58(text.substr(1)));
    }
    return fail(ErrorKind::malformed, "the text is not a peer id");
}

std::string PeerId::text() const
{
    return to_base58(multihash_);
}

std::string PeerId::short_text() const
{
    auto const whole = text();
    return whole.substr(whole.size() - std::min<std::size_t>(6, whole.size()));
}

ByteView PeerId::inline_public_key() const
{
    return !multihash_.empty() && multihash_[0] == identity_code ? ByteView(multihash_).subspan(2) : ByteView{};
}

std::strong_ordering PeerId::operator<=>(PeerId const& other) const
{
    return std::lexicographical_compare_three_way(multihash_.begin(), multihash_.end(), other.multihash_.begin(),
                                                  other.multihash_.end());
}

}  // namespace plexus::multiformats
