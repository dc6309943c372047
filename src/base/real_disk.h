#pragma once

#include "base/env.h"

namespace plexus {

/// Files of the operating system. Thread-safe.
class RealDisk final : public Disk {
public:
    Result<std::unique_ptr<File>> open(std::filesystem::path const& path) override;
    Result<std::unique_ptr<WritableFile>> create(std::filesystem::path const& path, unsigned mode) override;
    Result<std::unique_ptr<WritableFile>> open_to_write(std::filesystem::path const& path) override;
    Result<void> make_folders(std::filesystem::path const& path, unsigned mode) override;
    Result<void> rename(std::filesystem::path const& from, std::filesystem::path const& to) override;
    Result<void> link(std::filesystem::path const& existing, std::filesystem::path const& added) override;
    Result<void> remove(std::filesystem::path const& path) override;
    Result<void> sync_folder(std::filesystem::path const& path) override;
    Result<FileStatus> status(std::filesystem::path const& path) override;
    Result<std::vector<std::string>> list(std::filesystem::path const& path) override;
    Result<std::uint64_t> free_bytes(std::filesystem::path const& path) override;
};

/// The Error for an `errno` value: "cannot WHAT PATH: reason".
Error system_error(std::string_view what, std::filesystem::path const& path, int number);

}  // namespace plexus
