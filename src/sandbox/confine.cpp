#include "sandbox/confine.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "sandbox/walls.h"

namespace plexus::sandbox {

namespace {

using Raise = Result<void> (*)(Surroundings const&, Doors const&);

/// How each inner wall is raised; none for those of the launcher.
Raise raising(Layer layer)
{
    switch (layer) {
    case Layer::undumpable: return forbid_dumps;
    case Layer::root: return empty_root;
    case Layer::capabilities: return drop_capabilities;
    case Layer::landlock: return raise_landlock;
    case Layer::seccomp: return raise_seccomp;
    default: return nullptr;
    }
}

constexpr std::uint64_t fnv_start = 0xcbf29ce484222325;
constexpr std::uint64_t fnv_prime = 0x100000001b3;

class Walls {
public:
    explicit Walls(Surroundings const& surroundings) : surroundings_(surroundings) { report_.digest = fnv_start; }

    Result<Report> raise_all()
    {
        for (auto const& known : layer_names) {
            if (known.layer == Layer::root) {
                if (auto loaded = load_driver(); !loaded) {
                    return std::unexpected(loaded.error());
                }
            }
            auto stands = raise(known.layer);
            if (stands) {
                stands = prove(known.layer);
            }
            if (!stands && !may_go_on_without(known)) {
                return std::unexpected(stands.error());
            }
            (stands ? report_.standing : report_.missing).push_back(known.layer);
        }
        return report_;
    }

private:
    /// With all walls of the launcher around it, and none that would hide files.
    Result<void> load_driver()
    {
        if (!surroundings_.load_driver) {
            return {};
        }
        auto doors = surroundings_.load_driver();
        if (!doors) {
            return std::unexpected(doors.error());
        }
        report_.doors = std::move(*doors);
        return check_driver(surroundings_);
    }

    Result<void> raise(Layer layer) const
    {
        auto const raise_it = raising(layer);
        if (raise_it == nullptr || surroundings_.left_out == layer) {
            return {};
        }
        auto const raised = raise_it(surroundings_, report_.doors);
        return raised ? raised
                      : fail(ErrorKind::not_allowed, "the wall \"{}\" cannot be raised: {}", to_string(layer),
                             raised.error().text);
    }

    Result<void> prove(Layer layer)
    {
        auto open = std::string{};
        for (auto const& attempt : attempts_at(layer, surroundings_, report_.doors)) {
            count(attempt.what);
            if (attempt.succeeds()) {
                open += (open.empty() ? "" : ", ") + attempt.what;
            }
        }
        if (open.empty()) {
            return {};
        }
        return fail(ErrorKind::not_allowed, "the wall \"{}\" is open: the engine could {}", to_string(layer), open);
    }

    /// The control group is there where the daemon may make one; the rest is the owner's to allow.
    bool may_go_on_without(LayerName const& known) const
    {
        auto const no_group = known.layer == Layer::group && surroundings_.group.empty();
        return no_group || (known.may_be_missing && surroundings_.may_be_weak);
    }

    void count(std::string_view what)
    {
        ++report_.probes;
        for (auto const letter : what) {
            report_.digest = (report_.digest ^ static_cast<unsigned char>(letter)) * fnv_prime;
        }
    }

    Surroundings const& surroundings_;
    Report report_;
};

}  // namespace

Result<void> forbid_dumps(Surroundings const&, Doors const&)
{
    return ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? Result<void>{}
                                                     : fail(ErrorKind::not_allowed, "{}", std::strerror(errno));
}

Result<void> drop_capabilities(Surroundings const&, Doors const&)
{
    auto header = __user_cap_header_struct{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    auto none = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>{};
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
        ::syscall(SYS_capset, &header, none.data()) != 0) {
        return fail(ErrorKind::not_allowed, "{}", std::strerror(errno));
    }
    return {};
}

Result<Report> raise_walls(Surroundings const& surroundings)
{
    return Walls(surroundings).raise_all();
}

}  // namespace plexus::sandbox
