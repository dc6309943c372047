#pragma once

#include <string>
#include <string_view>

namespace plexus {

/// Spec: Unicode 15, table 3-7.
bool is_utf8(std::string_view text);

/// True for well-formed UTF-8 without control characters (C0, DEL, C1): text that can be shown on one line.
bool is_printable_utf8(std::string_view text);

/// The printable characters of a text from elsewhere, at most `limit` bytes of them; the rest is left out.
std::string printable_utf8(std::string_view text, std::size_t limit);

/// Takes the first line off `text`, without its line feed; empty if nothing is left.
std::string_view take_line(std::string_view& text);

}  // namespace plexus
