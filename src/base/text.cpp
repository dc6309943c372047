#include "base/text.h"

#include <array>
#include <cstdint>

namespace plexus {

namespace {

struct Lead {
    unsigned char first, last;  ///< range of the lead byte
    unsigned char low, high;    ///< range of the byte after it
    int following;
};

constexpr auto leads = std::array{
    Lead{0xc2, 0xdf, 0x80, 0xbf, 1}, Lead{0xe0, 0xe0, 0xa0, 0xbf, 2}, Lead{0xe1, 0xec, 0x80, 0xbf, 2},
    Lead{0xed, 0xed, 0x80, 0x9f, 2}, Lead{0xee, 0xef, 0x80, 0xbf, 2}, Lead{0xf0, 0xf0, 0x90, 0xbf, 3},
    Lead{0xf1, 0xf3, 0x80, 0xbf, 3}, Lead{0xf4, 0xf4, 0x80, 0x8f, 3},
};

/// Bytes of the character at the front; 0 if there is none.
std::size_t character_size(std::string_view text)
{
    auto const at = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
    if (at(0) < 0x80) {
        return 1;
    }
    for (auto const& lead : leads) {
        if (at(0) < lead.first || at(0) > lead.last) {
            continue;
        }
        auto const size = static_cast<std::size_t>(lead.following) + 1;
        if (text.size() < size || at(1) < lead.low || at(1) > lead.high) {
            return 0;
        }
        for (std::size_t index = 2; index < size; ++index) {
            if (at(index) < 0x80 || at(index) > 0xbf) {
                return 0;
            }
        }
        return size;
    }
    return 0;
}

bool is_control(std::string_view character)
{
    auto const first = static_cast<unsigned char>(character.front());
    return first < 0x20 || first == 0x7f || (first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0);
}

template <typename Check>
bool all_characters(std::string_view text, Check check)
{
    while (!text.empty()) {
        auto const size = character_size(text);
        if (size == 0 || !check(text.substr(0, size))) {
            return false;
        }
        text.remove_prefix(size);
    }
    return true;
}

}  // namespace

bool is_utf8(std::string_view text)
{
    return all_characters(text, [](std::string_view) { return true; });
}

bool is_printable_utf8(std::string_view text)
{
    return all_characters(text, [](std::string_view character) { return !is_control(character); });
}

std::string printable_utf8(std::string_view text, std::size_t limit)
{
    auto kept = std::string{};
    while (!text.empty()) {
        auto const size = character_size(text);
        auto const character = text.substr(0, size);
        if (kept.size() + size > limit) {
            break;
        }
        if (size > 0 && !is_control(character)) {
            kept += character;
        }
        text.remove_prefix(std::max<std::size_t>(size, 1));
    }
    return kept;
}

std::string_view take_line(std::string_view& text)
{
    auto const line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    return line;
}

}  // namespace plexus
