#pragma once

// A simulated disk. Not for other modules: use SimEnv::disk().

#include "base/sim_world.h"

namespace plexus::sim {

class SimDisk final : public Disk {
public:
    struct Content {
        struct Write {
            std::uint64_t offset = 0;
            Bytes bytes;
            Bytes before;           ///< what was there, as far as the file reached
            std::size_t size_before = 0;
        };
        Bytes bytes;
        std::vector<Write> unsynced;
        unsigned mode = 0;
        std::uint64_t inode = 0;
        WallTime modified;
    };

    SimDisk(World::State& world, std::string const& name);

    void crash();
    void restart() { frozen_ = false; }
    void set_room(std::uint64_t bytes) { room_ = bytes; }
    void fail_write(std::size_t count) { fail_at_ = count; }
    void refuse_links(bool refused) { links_refused_ = refused; }
    void put(std::filesystem::path const& path, Bytes bytes, unsigned mode);
    Result<void> write(Content& content, std::uint64_t offset, ByteView bytes);
    Result<void> reserve(Content& content, std::uint64_t size);
    Result<void> sync(Content& content);

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

private:
    using Files = std::map<std::filesystem::path, std::shared_ptr<Content>>;
    Result<void> change(std::filesystem::path const& path);

    Random& random_;
    Files files_;
    std::map<std::filesystem::path, unsigned> folders_;
    /// The names as they were before each change since the last sync of a folder, oldest first.
    std::vector<Files> unsynced_;
    std::uint64_t room_ = std::uint64_t{1} << 40;
    std::size_t fail_at_ = 0;
    bool links_refused_ = false;
    std::uint64_t last_inode_ = 0;
    bool frozen_ = false;
};

}  // namespace plexus::sim
