#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace plexus::api {

inline constexpr std::size_t max_form_parts = 32;
inline constexpr std::size_t max_part_head_bytes = 4096;

/// One field of a form.
struct FormPart {
    std::string name;
    std::string file_name;       ///< empty unless it is a file
    std::string_view body;       ///< borrowed from the text that was parsed
};

/// The boundary in a Content-Type field; nothing unless that is multipart/form-data with a boundary of 1 to 70 characters.
std::optional<std::string> form_boundary(std::string_view content_type);

/// The fields of a multipart/form-data body, in order. Does no I/O. Spec: RFC 7578, RFC 2046 section 5.1.
/// Errors: `malformed`; `too_large` over max_form_parts or max_part_head_bytes.
Result<std::vector<FormPart>> parse_form(std::string_view body, std::string_view boundary);

}  // namespace plexus::api
