#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "sandbox/descriptor.h"

namespace plexus::sandbox {

struct GroupLimits {
    std::uint64_t memory_bytes = 0;  ///< of all that it maps and caches; no swap beside it; 0: none
    std::uint32_t processes = 0;     ///< threads too
    std::uint32_t weight = 100;      ///< share of the processor, where others of the daemon have 100
};

/// The control group of one engine. Its end kills what is left in it and removes it.
class EngineGroup {
public:
    EngineGroup(std::filesystem::path folder, Descriptor members);
    EngineGroup(EngineGroup&&) noexcept = default;
    EngineGroup& operator=(EngineGroup&&) = delete;
    ~EngineGroup();

    /// A process that writes "0" here moves into the group.
    int members() const { return members_.get(); }
    std::filesystem::path const& folder() const { return folder_; }

private:
    std::filesystem::path folder_;
    Descriptor members_;
};

/// The daemon's own control group, below which it may put engines. Spec: Linux, control group v2, delegation.
class EngineGroups {
public:
    /// Takes the group that this process is in, which no other process may be in, and moves this process one group
    /// down, since a group with limited parts must not have members of its own.
    /// Errors: `unavailable` with the reason: no control group v2, not ours to change, not ours alone, no controllers.
    static Result<EngineGroups> take();

    /// As `take`, of the group in `folder`, with the controllers that must be there.
    static Result<EngineGroups> take(std::filesystem::path folder, std::vector<std::string> const& controllers);

    /// Errors: `io`, if the group cannot be made or does not keep a limit.
    Result<EngineGroup> make(GroupLimits const& limits);

private:
    explicit EngineGroups(std::filesystem::path folder) : folder_(std::move(folder)) {}

    std::filesystem::path folder_;
    std::uint64_t made_ = 0;
};

/// The folder of the control group v2 that a process is in, from the texts of its files in /proc; empty if none.
std::filesystem::path group_folder(std::string_view own_groups, std::string_view mounts);

}  // namespace plexus::sandbox
