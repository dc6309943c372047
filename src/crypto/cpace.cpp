#include "crypto/cpace.h"

#include <sodium.h>

namespace plexus::crypto {

namespace {

constexpr auto generator_label = std::string_view("CPaceRistretto255");
constexpr auto key_label = std::string_view("CPaceRistretto255_ISK");
constexpr std::size_t hash_block_bytes = 128;  // of SHA-512
constexpr auto top_bits = std::byte{0x0f};     // a scalar has 252

unsigned char* raw(std::byte* bytes)
{
    return reinterpret_cast<unsigned char*>(bytes);
}

unsigned char const* raw(std::byte const* bytes)
{
    return reinterpret_cast<unsigned char const*>(bytes);
}

/// With its length in front, in LEB128.
void append_with_length(Bytes& target, ByteView part)
{
    auto size = part.size();
    for (; size >= 0x80; size >>= 7) {
        target.push_back(static_cast<std::byte>((size & 0x7f) | 0x80));
    }
    target.push_back(static_cast<std::byte>(size));
    append(target, part);
}

Bytes with_lengths(std::initializer_list<ByteView> parts)
{
    auto all = Bytes{};
    for (auto const& part : parts) {
        append_with_length(all, part);
    }
    return all;
}

/// Hashes and wipes it.
Secret64 sha512(Bytes text)
{
    auto digest = Secret64{};
    crypto_hash_sha512(raw(digest.writable().data()), raw(text.data()), text.size());
    sodium_memzero(text.data(), text.size());
    return digest;
}

/// The password fills the hash's first block, so that its length does not show in the time.
Secret64 generator_seed(ByteView password, Cpace::Context const& context)
{
    auto const head = with_lengths({as_view(generator_label), password}).size();
    auto const zeros = Bytes(hash_block_bytes - std::min(hash_block_bytes, head + 1));
    return sha512(with_lengths({as_view(generator_label), password, zeros, context.channel, context.session}));
}

}  // namespace

Cpace::Cpace(ByteView password, Context const& context, Secret32 random)
    : session_(context.session), scalar_(std::move(random))
{
    PLEXUS_ASSERT(sodium_init() >= 0);
    scalar_.writable().back() &= top_bits;
    auto const seed = generator_seed(password, context);
    auto generator = Secret32{};
    crypto_core_ristretto255_from_hash(raw(generator.writable().data()), raw(seed.bytes().data()));
    auto const failed = crypto_scalarmult_ristretto255(raw(share_.data()), raw(scalar_.bytes().data()),
                                                       raw(generator.bytes().data()));
    PLEXUS_ASSERT(failed == 0);
}

Result<Secret64> Cpace::key(ByteView initiator_share, ByteView initiator_data, ByteView responder_share,
                            ByteView responder_data) const
{
    auto const& other = std::ranges::equal(initiator_share, share_) ? responder_share : initiator_share;
    auto point = Secret32{};
    if (other.size() != share_size ||
        crypto_scalarmult_ristretto255(raw(point.writable().data()), raw(scalar_.bytes().data()), raw(other.data())) !=
            0) {
        return fail(ErrorKind::malformed, "the other side's share is not valid");
    }
    auto text = with_lengths({as_view(key_label), session_, point.bytes()});
    append(text, with_lengths({initiator_share, initiator_data, responder_share, responder_data}));
    return sha512(std::move(text));
}

}  // namespace plexus::crypto
