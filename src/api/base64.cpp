#include "api/base64.h"

#include <algorithm>

namespace plexus::api {

namespace {

constexpr auto letters = std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");

constexpr std::array<std::uint8_t, 256> values_of_letters()
{
    auto values = std::array<std::uint8_t, 256>{};
    values.fill(64);
    for (std::uint8_t value = 0; value < 64; ++value) {
        values[static_cast<unsigned char>(letters[value])] = value;
    }
    return values;
}

constexpr auto values = values_of_letters();

}  // namespace

std::string to_base64(ByteView bytes)
{
    auto text = std::string{};
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t place = 0; place < bytes.size(); place += 3) {
        auto const count = std::min<std::size_t>(3, bytes.size() - place);
        auto group = std::uint32_t{0};
        for (std::size_t index = 0; index < 3; ++index) {
            group = group << 8 | (index < count ? std::to_integer<std::uint32_t>(bytes[place + index]) : 0);
        }
        for (std::size_t index = 0; index < 4; ++index) {
            text += index <= count ? letters[group >> (18 - 6 * index) & 63] : '=';
        }
    }
    return text;
}

std::optional<std::string> from_base64(std::string_view text)
{
    if (text.size() % 4 != 0) {
        return std::nullopt;
    }
    auto const padding = text.ends_with("==") ? 2U : text.ends_with('=') ? 1U : 0U;
    auto bytes = std::string{};
    bytes.reserve(text.size() / 4 * 3);
    auto group = std::uint32_t{0};
    for (std::size_t place = 0; place < text.size(); ++place) {
        auto const is_padding = place + padding >= text.size();
        auto const value = is_padding ? std::uint8_t{0} : values[static_cast<unsigned char>(text[place])];
        if (value > 63) {
            return std::nullopt;
        }
        group = group << 6 | value;
        if (place % 4 == 3) {
            bytes += {static_cast<char>(group >> 16 & 255), static_cast<char>(group >> 8 & 255),
                      static_cast<char>(group & 255)};
            group = 0;
        }
    }
    bytes.resize(bytes.size() - padding);
    return bytes;
}

}  // namespace plexus::api
