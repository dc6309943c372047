#pragma once

#include <optional>
#include <string>

namespace plexus::cli {

struct QrText {
    std::string text;  ///< lines of block characters
    int columns = 0;
    int rows = 0;
};

/// The smallest QR code of `payload`, dark on light, two modules a character cell (Unicode half blocks), or two cells
/// a module in plain ASCII. Nothing if the payload does not fit any code.
std::optional<QrText> make_qr(std::string const& payload, bool unicode);

}  // namespace plexus::cli
