#include "base/http_client.h"

#include <charconv>

namespace plexus {

std::optional<std::string_view> HttpHead::field(std::string_view name) const
{
    auto const found = std::ranges::find(fields, name, &HttpField::name);
    return found == fields.end() ? std::nullopt : std::optional<std::string_view>(found->value);
}

std::optional<std::uint64_t> HttpHead::number(std::string_view name) const
{
    auto const text = field(name).value_or("");
    auto value = std::uint64_t{0};
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && !text.empty() && end == text.data() + text.size() ? std::optional(value)
                                                                                     : std::nullopt;
}

Task<Result<std::string>> read_body(HttpTransfer& transfer, std::size_t limit)
{
    auto body = std::string{};
    for (;;) {
        auto const piece = co_await transfer.read();
        if (!piece) {
            co_return std::unexpected(piece.error());
        }
        if (piece->empty()) {
            co_return body;
        }
        if (piece->size() > limit - body.size()) {
            co_return fail(ErrorKind::too_large, "the answer has more than {} bytes", limit);
        }
        body += as_text(*piece);
    }
}

}  // namespace plexus
