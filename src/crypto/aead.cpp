#include "crypto/aead.h"

#include <openssl/evp.h>

namespace plexus::crypto {

namespace {

using Nonce = std::array<unsigned char, 12>;

Nonce make_nonce(std::uint64_t counter)
{
    auto nonce = Nonce{};
    store_little_endian(reinterpret_cast<std::byte*>(nonce.data()) + 4, counter);
    return nonce;
}

unsigned char const* raw(ByteView bytes) { return reinterpret_cast<unsigned char const*>(bytes.data()); }
unsigned char* raw(MutableByteView bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

}  // namespace

/// One context a direction, made when first used, with the key schedule kept.
struct AeadKey::State {
    explicit State(Secret32 const& secret) : key(secret) {}
    ~State()
    {
        EVP_CIPHER_CTX_free(sealing);
        EVP_CIPHER_CTX_free(opening);
    }

    EVP_CIPHER_CTX* context(EVP_CIPHER_CTX*& slot, int encrypt)
    {
        if (slot == nullptr) {
            slot = EVP_CIPHER_CTX_new();
            PLEXUS_ASSERT(slot != nullptr);
            PLEXUS_ASSERT(EVP_CipherInit_ex(slot, EVP_chacha20_poly1305(), nullptr, raw(key.bytes()), nullptr, encrypt) == 1);
        }
        return slot;
    }

    Secret32 key;
    EVP_CIPHER_CTX* sealing = nullptr;
    EVP_CIPHER_CTX* opening = nullptr;
};

AeadKey::AeadKey(Secret32 const& key) : state_(std::make_unique<State>(key)) {}
AeadKey::~AeadKey() = default;
AeadKey::AeadKey(AeadKey&&) noexcept = default;
AeadKey& AeadKey::operator=(AeadKey&&) noexcept = default;

void AeadKey::seal(std::uint64_t counter, ByteView associated, MutableByteView data, MutableByteView tag)
{
    auto* context = state_->context(state_->sealing, 1);
    auto const nonce = make_nonce(counter);
    auto count = 0;
    auto good = EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, nonce.data(), 1) == 1;
    if (!associated.empty()) {
        good = good && EVP_CipherUpdate(context, nullptr, &count, raw(associated), static_cast<int>(associated.size())) == 1;
    }
    if (!data.empty()) {
        good = good && EVP_CipherUpdate(context, raw(data), &count, raw(data), static_cast<int>(data.size())) == 1;
    }
    auto rest = std::array<unsigned char, tag_size>{};
    good = good && EVP_CipherFinal_ex(context, rest.data(), &count) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, tag_size, tag.data()) == 1;
    PLEXUS_ASSERT(good);
}

bool AeadKey::open(std::uint64_t counter, ByteView associated, MutableByteView data, ByteView tag)
{
    if (tag.size() != tag_size) {
        return false;
    }
    auto* context = state_->context(state_->opening, 0);
    auto const nonce = make_nonce(counter);
    auto count = 0;
    auto rest = std::array<unsigned char, tag_size>{};
    if (EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, nonce.data(), 0) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, tag_size, const_cast<std::byte*>(tag.data())) != 1) {
        return false;
    }
    if (!associated.empty() &&
        EVP_CipherUpdate(context, nullptr, &count, raw(associated), static_cast<int>(associated.size())) != 1) {
        return false;
    }
    if (!data.empty() && EVP_CipherUpdate(context, raw(data), &count, raw(data), static_cast<int>(data.size())) != 1) {
        return false;
    }
    return EVP_CipherFinal_ex(context, rest.data(), &count) == 1;
}

}  // namespace plexus::crypto
