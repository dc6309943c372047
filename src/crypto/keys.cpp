#include "crypto/keys.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/x509.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <sodium.h>

#include <memory>
#include <optional>

namespace plexus::crypto {

namespace {

template <typename T, void (*Free)(T*)>
using Handle = std::unique_ptr<T, decltype([](T* value) { Free(value); })>;
using KeyHandle = Handle<EVP_PKEY, EVP_PKEY_free>;
using ContextHandle = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;
using KeyContextHandle = Handle<EVP_PKEY_CTX, EVP_PKEY_CTX_free>;

/// libsodium chooses its fastest code once.
void prepare_sodium()
{
    static auto const prepared = sodium_init();
    PLEXUS_ASSERT(prepared >= 0);
}

unsigned char const* raw(ByteView bytes) { return reinterpret_cast<unsigned char const*>(bytes.data()); }
unsigned char* raw_target(MutableByteView bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

KeyHandle secp256k1_key(ByteView point)
{
    auto context = KeyContextHandle(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
    char group[] = "secp256k1";
    auto copy = to_bytes(point);
    auto const parameters = std::array{
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy.data(), copy.size()), OSSL_PARAM_construct_end()};
    EVP_PKEY* key = nullptr;
    if (context && EVP_PKEY_fromdata_init(context.get()) == 1) {
        EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, const_cast<OSSL_PARAM*>(parameters.data()));
    }
    return KeyHandle(key);
}

KeyHandle subject_public_key(ByteView der, int expected)
{
    auto const* cursor = raw(der);
    auto key = KeyHandle(d2i_PUBKEY(nullptr, &cursor, static_cast<long>(der.size())));
    if (!key || cursor != raw(der) + der.size() || EVP_PKEY_get_base_id(key.get()) != expected) {
        return {};
    }
    return key;
}

KeyHandle ecdsa_key(ByteView der)
{
    auto key = subject_public_key(der, EVP_PKEY_EC);
    auto name = std::array<char, 32>{};
    if (!key || EVP_PKEY_get_group_name(key.get(), name.data(), name.size(), nullptr) != 1) {
        return {};
    }
    auto const curves = std::array<std::string_view, 3>{"prime256v1", "secp384r1", "secp521r1"};
    return std::ranges::find(curves, std::string_view(name.data())) != curves.end() ? std::move(key) : KeyHandle{};
}

KeyHandle rsa_key(ByteView der)
{
    auto key = subject_public_key(der, EVP_PKEY_RSA);
    if (!key) {
        return {};
    }
    auto const bits = EVP_PKEY_get_bits(key.get());
    return bits >= PublicKey::min_rsa_bits && bits <= PublicKey::max_rsa_bits ? std::move(key) : KeyHandle{};
}

/// Nothing if the bytes are no key of that kind, or one that is not accepted.
KeyHandle openssl_key(KeyType type, ByteView data)
{
    switch (type) {
    case KeyType::rsa: return rsa_key(data);
    case KeyType::secp256k1: return data.size() == 33 ? secp256k1_key(data) : KeyHandle{};
    case KeyType::ecdsa: return ecdsa_key(data);
    case KeyType::ed25519: break;
    }
    return {};
}

bool verify_with(KeyHandle const& key, ByteView message, ByteView signature)
{
    auto context = ContextHandle(EVP_MD_CTX_new());
    return key && context && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
           EVP_DigestVerify(context.get(), raw(signature), signature.size(), raw(message), message.size()) == 1;
}

std::optional<std::uint64_t> take_small_varint(ByteView& bytes)
{
    std::uint64_t value = 0;
    for (std::size_t index = 0; index < std::min<std::size_t>(bytes.size(), 4); ++index) {
        auto const bits = std::to_integer<std::uint64_t>(bytes[index]);
        value |= (bits & 0x7f) << (7 * index);
        if (bits < 0x80) {
            bytes = bytes.subspan(index + 1);
            return bits == 0 && index > 0 ? std::nullopt : std::optional(value);
        }
    }
    return std::nullopt;
}

bool usable(KeyType type, ByteView data)
{
    return type == KeyType::ed25519 ? data.size() == 32 : openssl_key(type, data) != nullptr;
}

}  // namespace

Result<PublicKey> PublicKey::decode(ByteView serialised)
{
    if (serialised.size() > max_bytes) {
        return fail(ErrorKind::too_large, "a public key of {} bytes", serialised.size());
    }
    auto rest = serialised;
    auto const malformed = fail(ErrorKind::malformed, "the public key is of no kind and form that is accepted");
    if (rest.size() < 4 || rest[0] != std::byte{0x08}) {
        return malformed;
    }
    rest = rest.subspan(1);
    auto const type = take_small_varint(rest);
    if (!type || *type > 3 || rest.empty() || rest[0] != std::byte{0x12}) {
        return malformed;
    }
    rest = rest.subspan(1);
    auto const size = take_small_varint(rest);
    if (!size || *size != rest.size() || !usable(static_cast<KeyType>(*type), rest)) {
        return malformed;
    }
    return PublicKey(static_cast<KeyType>(*type), to_bytes(rest));
}

PublicKey PublicKey::ed25519(std::span<std::byte const, 32> bytes)
{
    return {KeyType::ed25519, Bytes(bytes.begin(), bytes.end())};
}

Bytes PublicKey::encode() const
{
    auto encoded = Bytes{std::byte{0x08}, static_cast<std::byte>(type_), std::byte{0x12}};
    auto size = data_.size();
    for (; size >= 0x80; size >>= 7) {
        encoded.push_back(static_cast<std::byte>(size | 0x80));
    }
    encoded.push_back(static_cast<std::byte>(size));
    append(encoded, data_);
    return encoded;
}

bool PublicKey::verify(ByteView message, ByteView signature) const
{
    if (type_ != KeyType::ed25519) {
        return verify_with(openssl_key(type_, data_), message, signature);
    }
    prepare_sodium();
    return signature.size() == KeyPair::signature_size &&
           crypto_sign_verify_detached(raw(signature), raw(message), message.size(), raw(data_)) == 0;
}

KeyPair::KeyPair(Secret32 seed) : seed_(seed)
{
    prepare_sodium();
    auto whole = std::array<std::byte, 64>{};
    crypto_sign_seed_keypair(raw_target(public_), raw_target(whole), raw(seed_.bytes()));
    sodium_memzero(whole.data(), whole.size());
}

Bytes KeyPair::sign(ByteView message) const
{
    auto whole = concatenate({seed_.bytes(), public_});
    auto signature = Bytes(signature_size);
    crypto_sign_detached(raw_target(signature), nullptr, raw(message), message.size(), raw(whole));
    sodium_memzero(whole.data(), whole.size());
    return signature;
}

ExchangeKey::ExchangeKey(Secret32 secret) : secret_(secret)
{
    prepare_sodium();
    crypto_scalarmult_curve25519_base(raw_target(public_), raw(secret_.bytes()));
}

Result<Secret32> ExchangeKey::shared_secret(std::span<std::byte const, 32> other_public) const
{
    auto shared = Secret32{};
    // libsodium reports an all-zero result as failure.
    if (crypto_scalarmult_curve25519(raw_target(shared.writable()), raw(secret_.bytes()), raw(other_public)) != 0) {
        return fail(ErrorKind::malformed, "the other side's exchange key is unusable");
    }
    return shared;
}

}  // namespace plexus::crypto
