#include "base/sim_disk.h"

namespace plexus::sim {

namespace {

class SimFile final : public File {
public:
    explicit SimFile(std::shared_ptr<SimDisk::Content> content) : content_(std::move(content)) {}

    std::uint64_t size() const override { return content_->bytes.size(); }
    int descriptor() const override { return -1; }

    Result<std::size_t> read_at(std::uint64_t offset, MutableByteView target) const override
    {
        if (offset >= content_->bytes.size()) {
            return std::size_t{0};
        }
        auto const count = std::min<std::size_t>(target.size(), content_->bytes.size() - offset);
        std::memcpy(target.data(), content_->bytes.data() + offset, count);
        return count;
    }

private:
    std::shared_ptr<SimDisk::Content> content_;
};

class SimWritableFile final : public WritableFile {
public:
    SimWritableFile(SimDisk& disk, std::shared_ptr<SimDisk::Content> content)
        : disk_(disk), content_(std::move(content))
    {
    }

    Result<void> write(ByteView bytes) override { return disk_.write(*content_, bytes); }
    Result<void> sync() override { return disk_.sync(*content_); }

private:
    SimDisk& disk_;
    std::shared_ptr<SimDisk::Content> content_;
};

std::unexpected<Error> missing(std::string_view what, std::filesystem::path const& path)
{
    return fail(ErrorKind::not_found, "cannot {} {}: no such file or folder", what, path.string());
}

}  // namespace

SimDisk::SimDisk(World::State& world, std::string const& name) : random_(world.random.get("disk " + name))
{
    folders_["/"] = 0755;
}

void SimDisk::crash()
{
    frozen_ = true;
    auto const lost = unsynced_.empty() ? 0 : random_.below(unsynced_.size() + 1);
    if (lost > 0) {
        files_ = unsynced_[unsynced_.size() - lost];
    }
    unsynced_.clear();
    for (auto& [path, content] : files_) {
        auto const kept = content->durable + random_.below(content->bytes.size() - content->durable + 1);
        content->bytes.resize(kept);
        content->durable = kept;
    }
}

void SimDisk::put(std::filesystem::path const& path, Bytes bytes, unsigned mode)
{
    std::ignore = make_folders(path.parent_path(), 0755);
    auto content = std::make_shared<Content>();
    content->durable = bytes.size();
    content->bytes = std::move(bytes);
    content->mode = mode;
    content->inode = ++last_inode_;
    files_[path] = std::move(content);
}

Result<void> SimDisk::change(std::filesystem::path const& path)
{
    if (frozen_) {
        return fail(ErrorKind::io, "cannot change {}: the device is off", path.string());
    }
    unsynced_.push_back(files_);
    return {};
}

Result<void> SimDisk::write(Content& content, ByteView bytes)
{
    if (frozen_) {
        return fail(ErrorKind::io, "cannot write: the device is off");
    }
    if (fail_at_ > 0 && --fail_at_ == 0) {
        return fail(ErrorKind::io, "cannot write: input/output error");
    }
    if (bytes.size() > room_) {
        return fail(ErrorKind::out_of_space, "cannot write: no space left on device");
    }
    room_ -= bytes.size();
    append(content.bytes, bytes);
    return {};
}

Result<void> SimDisk::sync(Content& content)
{
    if (frozen_) {
        return fail(ErrorKind::io, "cannot sync: the device is off");
    }
    content.durable = content.bytes.size();
    return {};
}

Result<std::unique_ptr<File>> SimDisk::open(std::filesystem::path const& path)
{
    auto const found = files_.find(path);
    if (found == files_.end()) {
        return missing("open", path);
    }
    return std::make_unique<SimFile>(found->second);
}

Result<std::unique_ptr<WritableFile>> SimDisk::create(std::filesystem::path const& path, unsigned mode)
{
    if (files_.contains(path)) {
        return fail(ErrorKind::conflict, "cannot create {}: it exists", path.string());
    }
    if (!folders_.contains(path.parent_path())) {
        return missing("create", path);
    }
    if (auto changed = change(path); !changed) {
        return std::unexpected(changed.error());
    }
    auto content = std::make_shared<Content>();
    content->mode = mode;
    content->inode = ++last_inode_;
    files_[path] = content;
    return std::make_unique<SimWritableFile>(*this, std::move(content));
}

Result<void> SimDisk::make_folders(std::filesystem::path const& path, unsigned mode)
{
    for (auto folder = path; folder.has_relative_path(); folder = folder.parent_path()) {
        folders_.try_emplace(folder, mode);
    }
    return {};
}

Result<void> SimDisk::rename(std::filesystem::path const& from, std::filesystem::path const& to)
{
    auto const found = files_.find(from);
    if (found == files_.end()) {
        return missing("rename", from);
    }
    if (auto changed = change(from); !changed) {
        return changed;
    }
    files_[to] = found->second;
    files_.erase(from);
    return {};
}

Result<void> SimDisk::link(std::filesystem::path const& existing, std::filesystem::path const& added)
{
    auto const found = files_.find(existing);
    if (found == files_.end()) {
        return missing("link", existing);
    }
    if (links_refused_) {
        return fail(ErrorKind::io, "cannot link {}: another file system", added.string());
    }
    if (files_.contains(added)) {
        return fail(ErrorKind::conflict, "cannot link {}: it exists", added.string());
    }
    if (auto changed = change(added); !changed) {
        return changed;
    }
    files_[added] = found->second;
    return {};
}

Result<void> SimDisk::remove(std::filesystem::path const& path)
{
    if (folders_.erase(path) > 0) {
        return {};
    }
    if (!files_.contains(path)) {
        return missing("remove", path);
    }
    if (auto changed = change(path); !changed) {
        return changed;
    }
    files_.erase(path);
    return {};
}

Result<void> SimDisk::sync_folder(std::filesystem::path const& path)
{
    if (frozen_) {
        return fail(ErrorKind::io, "cannot sync {}: the device is off", path.string());
    }
    unsynced_.clear();
    return {};
}

Result<FileStatus> SimDisk::status(std::filesystem::path const& path)
{
    if (auto const folder = folders_.find(path); folder != folders_.end()) {
        return FileStatus{.kind = FileKind::folder, .mode = folder->second};
    }
    auto const found = files_.find(path);
    if (found == files_.end()) {
        return missing("look at", path);
    }
    auto const& content = *found->second;
    return FileStatus{.kind = FileKind::file,
                      .size = content.bytes.size(),
                      .mode = content.mode,
                      .modified = content.modified,
                      .inode = content.inode};
}

Result<std::vector<std::string>> SimDisk::list(std::filesystem::path const& path)
{
    if (!folders_.contains(path)) {
        return missing("list", path);
    }
    auto names = std::set<std::string>{};
    for (auto const& [file, content] : files_) {
        if (file.parent_path() == path) {
            names.insert(file.filename().string());
        }
    }
    for (auto const& [folder, mode] : folders_) {
        if (folder.parent_path() == path && folder != path) {
            names.insert(folder.filename().string());
        }
    }
    return std::vector<std::string>(names.begin(), names.end());
}

Result<std::uint64_t> SimDisk::free_bytes(std::filesystem::path const&)
{
    return room_;
}

}  // namespace plexus::sim
