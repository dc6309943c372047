#include "api/token.h"

namespace plexus::api {

namespace {

constexpr std::size_t token_bytes = 32;
constexpr std::size_t max_token_file_bytes = 1024;
constexpr auto prefix = std::string_view("plx-");
constexpr unsigned owner_only = 0600;
constexpr unsigned others = 0077;

Result<std::string> make_token(Env& env, std::filesystem::path const& path)
{
    auto token = std::string(prefix) + to_hex(env.random("api-token").bytes(token_bytes));
    auto const line = token + "\n";
    if (auto written = env.disk().write_file(path, as_view(line), owner_only); !written) {
        return std::unexpected(written.error());
    }
    return token;
}

}  // namespace

Result<std::string> load_or_make_token(Env& env, std::filesystem::path const& path)
{
    auto const status = env.disk().status(path);
    if (!status && status.error().kind == ErrorKind::not_found) {
        return make_token(env, path);
    }
    if (!status) {
        return std::unexpected(status.error());
    }
    if ((status->mode & others) != 0) {
        return fail(ErrorKind::not_allowed, "{} may be read by others (mode {:o}); run chmod 600 on it", path.string(),
                    status->mode);
    }
    auto const content = env.disk().read_file(path, max_token_file_bytes);
    if (!content) {
        return std::unexpected(content.error());
    }
    auto token = std::string(as_text(*content));
    while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' ')) {
        token.pop_back();
    }
    if (token.size() < 16 || token.find_first_of(" \t\r\n") != std::string::npos) {
        return fail(ErrorKind::malformed, "{} holds no API token; remove it to have a new one made", path.string());
    }
    return token;
}

}  // namespace plexus::api
