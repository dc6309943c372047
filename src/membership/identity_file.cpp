#include "membership/identity_file.h"

namespace plexus::membership {

namespace {

constexpr unsigned owner_only = 0600;
constexpr unsigned others = 0077;
constexpr std::size_t max_file_bytes = 256;

Result<crypto::KeyPair> make_identity(Env& env, std::filesystem::path const& path)
{
    auto seed = crypto::Secret32();
    env.random("identity").fill(seed.writable());
    auto const text = to_hex(seed.bytes()) + "\n";
    if (auto written = env.disk().write_file(path, as_view(text), owner_only); !written) {
        return std::unexpected(written.error());
    }
    return crypto::KeyPair(seed);
}

Result<crypto::Secret32> seed_from(ByteView content)
{
    auto text = as_text(content);
    text = text.ends_with('\n') ? text.substr(0, text.size() - 1) : text;
    auto const bytes = from_hex(text);
    if (!bytes || bytes->size() != crypto::Secret32::size) {
        return fail(ErrorKind::malformed, "no key");
    }
    return crypto::Secret32(std::span<std::byte const, crypto::Secret32::size>(*bytes));
}

}  // namespace

Result<crypto::KeyPair> load_or_make_identity(Env& env, std::filesystem::path const& path)
{
    auto const status = env.disk().status(path);
    if (!status && status.error().kind == ErrorKind::not_found) {
        return make_identity(env, path);
    }
    if (!status) {
        return std::unexpected(status.error());
    }
    if ((status->mode & others) != 0) {
        return fail(ErrorKind::not_allowed, "the device key {} is open to others (mode {:o}): run chmod 600 on it, and if "
                    "somebody may have read it, remove it and membership.log to become a new device",
                    path.string(), status->mode);
    }
    auto const content = env.disk().read_file(path, max_file_bytes);
    if (!content) {
        return std::unexpected(content.error());
    }
    auto const seed = seed_from(*content);
    if (!seed) {
        return fail(ErrorKind::malformed, "{} holds no device key: put a copy back, or remove it and membership.log to "
                    "become a new device", path.string());
    }
    return crypto::KeyPair(*seed);
}

}  // namespace plexus::membership
