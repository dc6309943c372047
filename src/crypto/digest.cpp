#define OPENSSL_SUPPRESS_DEPRECATED  // EVP hides the chaining value

#include "crypto/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace plexus::crypto {

Result<Digest32> Digest32::from_bytes(ByteView bytes)
{
    if (bytes.size() != size) {
        return fail(ErrorKind::malformed, "a digest has 32 bytes, not {}", bytes.size());
    }
    auto digest = Digest32{};
    std::memcpy(digest.value_.data(), bytes.data(), size);
    return digest;
}

Result<Digest32> Digest32::from_text(std::string_view text)
{
    if (text.size() != 2 * size) {
        return fail(ErrorKind::malformed, "a digest has 64 hexadecimal digits");
    }
    return and_then(from_hex(text), [](Bytes const& bytes) { return from_bytes(bytes); });
}

struct Sha256::State {
    SHA256_CTX context = {};
};

Sha256::Sha256() : state_(std::make_unique<State>())
{
    PLEXUS_ASSERT(SHA256_Init(&state_->context) == 1);
}

Sha256::Sha256(Digest32 const& state, std::uint64_t hashed_bytes) : Sha256()
{
    PLEXUS_ASSERT(hashed_bytes % block_bytes == 0);
    auto& context = state_->context;
    for (std::size_t word = 0; word < std::size(context.h); ++word) {
        context.h[word] = load_big_endian<SHA_LONG>(state.bytes().data() + word * sizeof(SHA_LONG));
    }
    auto const bits = hashed_bytes * 8;
    context.Nl = static_cast<SHA_LONG>(bits);
    context.Nh = static_cast<SHA_LONG>(bits >> 32);
}

Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(ByteView bytes)
{
    PLEXUS_ASSERT(SHA256_Update(&state_->context, bytes.data(), bytes.size()) == 1);
}

Digest32 Sha256::state() const
{
    auto const& context = state_->context;
    PLEXUS_ASSERT(context.num == 0);
    auto value = std::array<std::byte, Digest32::size>{};
    for (std::size_t word = 0; word < std::size(context.h); ++word) {
        store_big_endian(value.data() + word * sizeof(SHA_LONG), context.h[word]);
    }
    return Digest32::from_bytes(value).value();
}

Digest32 Sha256::finish()
{
    auto value = std::array<std::byte, Digest32::size>{};
    PLEXUS_ASSERT(SHA256_Final(reinterpret_cast<unsigned char*>(value.data()), &state_->context) == 1);
    return Digest32::from_bytes(value).value();
}

Digest32 sha256(ByteView bytes)
{
    auto hash = Sha256{};
    hash.update(bytes);
    return hash.finish();
}

namespace {

/// `target` has Digest32::size bytes.
void hmac_into(MutableByteView target, ByteView key, ByteView message)
{
    auto size = 0U;
    auto const* made = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                            reinterpret_cast<unsigned char const*>(message.data()), message.size(),
                            reinterpret_cast<unsigned char*>(target.data()), &size);
    PLEXUS_ASSERT(made != nullptr && size == Digest32::size);
}

}  // namespace

Digest32 hmac_sha256(ByteView key, ByteView message)
{
    auto value = std::array<std::byte, Digest32::size>{};
    hmac_into(value, key, message);
    return Digest32::from_bytes(value).value();
}

std::pair<Secret32, Secret32> hkdf2(ByteView chaining_key, ByteView input)
{
    auto temporary = Secret32{};
    auto outputs = std::pair<Secret32, Secret32>{};
    hmac_into(temporary.writable(), chaining_key, input);
    hmac_into(outputs.first.writable(), temporary.bytes(), std::array{std::byte{1}});
    auto message = concatenate({outputs.first.bytes(), std::array{std::byte{2}}});
    hmac_into(outputs.second.writable(), temporary.bytes(), message);
    OPENSSL_cleanse(message.data(), message.size());
    return outputs;
}

}  // namespace plexus::crypto
