#include "qr.h"

#include <memory>

#include <qrencode.h>

namespace plexus::cli {

namespace {

constexpr int quiet_zone = 2;  // four by the standard; two is read well and saves rows

class Modules {
public:
    explicit Modules(QRcode const& code) : code_(code) {}

    int size() const { return code_.width + 2 * quiet_zone; }
    bool is_dark(int row, int column) const
    {
        row -= quiet_zone;
        column -= quiet_zone;
        if (row < 0 || column < 0 || row >= code_.width || column >= code_.width) {
            return false;
        }
        return (code_.data[row * code_.width + column] & 1) != 0;
    }

private:
    QRcode const& code_;
};

/// Light modules are drawn, so that the code reads on the usual dark background.
std::string half_blocks(Modules const& modules)
{
    auto text = std::string{};
    for (auto row = 0; row < modules.size(); row += 2) {
        for (auto column = 0; column < modules.size(); ++column) {
            auto const upper = !modules.is_dark(row, column);
            auto const lower = row + 1 < modules.size() && !modules.is_dark(row + 1, column);
            text += upper ? (lower ? "█" : "▀") : (lower ? "▄" : " ");
        }
        text += '\n';
    }
    return text;
}

std::string ascii_blocks(Modules const& modules)
{
    auto text = std::string{};
    for (auto row = 0; row < modules.size(); ++row) {
        for (auto column = 0; column < modules.size(); ++column) {
            text += modules.is_dark(row, column) ? "  " : "##";
        }
        text += '\n';
    }
    return text;
}

}  // namespace

std::optional<QrText> make_qr(std::string const& payload, bool unicode)
{
    auto const code = std::unique_ptr<QRcode, decltype(&QRcode_free)>(
        QRcode_encodeString(payload.c_str(), 0, QR_ECLEVEL_L, QR_MODE_8, 1), &QRcode_free);
    if (!code) {
        return std::nullopt;
    }
    auto const modules = Modules(*code);
    if (unicode) {
        return QrText{half_blocks(modules), modules.size(), (modules.size() + 1) / 2};
    }
    return QrText{ascii_blocks(modules), modules.size() * 2, modules.size()};
}

}  // namespace plexus::cli
