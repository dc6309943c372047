#include "base/sim_disk.h"

#include <algorithm>
#include <ranges>

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
        : disk_(disk), content_(std::move(content)), end_(content_->bytes.size())
    {
    }

    Result<void> write(ByteView bytes) override
    {
        auto written = disk_.write(*content_, end_, bytes);
        end_ += written ? bytes.size() : 0;
        return written;
    }
    Result<void> write_at(std::uint64_t offset, ByteView bytes) override
    {
        return disk_.write(*content_, offset, bytes);
    }
    Result<void> reserve(std::uint64_t size) override { return disk_.reserve(*content_, size); }
    Result<void> sync() override { return disk_.sync(*content_); }

private:
    SimDisk& disk_;
    std::shared_ptr<SimDisk::Content> content_;
    std::uint64_t end_;
};

/// Puts `bytes` at `offset`, with zeros in what it skips.
void place(Bytes& target, std::uint64_t offset, ByteView bytes)
{
    target.resize(std::max<std::size_t>(target.size(), offset + bytes.size()));
    std::ranges::copy(bytes, target.begin() + static_cast<std::ptrdiff_t>(offset));
}

/// What of the writes since the last sync reached the disk: of each a random beginning, in no order.
void keep_some(SimDisk::Content& content, Random& random)
{
    auto writes = std::exchange(content.unsynced, {});
    for (auto const& write : std::views::reverse(writes)) {
        place(content.bytes, write.offset, write.before);
        content.bytes.resize(write.size_before);
    }
    for (auto const& write : writes) {
        place(content.bytes, write.offset, ByteView(write.bytes).first(random.below(write.bytes.size() + 1)));
    }
}

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
        keep_some(*content, random_);
    }
}

void SimDisk::put(std::filesystem::path const& path, Bytes bytes, unsigned mode)
{
    std::ignore = make_folders(path.parent_path(), 0755);
    auto content = std::make_shared<Content>();
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

Result<void> SimDisk::write(Content& content, std::uint64_t offset, ByteView bytes)
{
    if (frozen_) {
        return fail(ErrorKind::io, "cannot write: the device is off");
    }
    if (fail_at_ > 0 && --fail_at_ == 0) {
        return fail(ErrorKind::io, "cannot write: input/output error");
    }
    auto const size = content.bytes.size();
    auto const longer = offset + bytes.size() > size ? offset + bytes.size() - size : 0;
    if (longer > room_) {
        return fail(ErrorKind::out_of_space, "cannot write: no space left on device");
    }
    room_ -= longer;
    auto const from = std::min<std::size_t>(offset, size);
    auto const before = ByteView(content.bytes).subspan(from, std::min(bytes.size(), size - from));
    content.unsynced.push_back(
        {.offset = offset, .bytes = to_bytes(bytes), .before = to_bytes(before), .size_before = size});
    place(content.bytes, offset, bytes);
    return {};
}

Result<void> SimDisk::reserve(Content& content, std::uint64_t size)
{
    auto const present = content.bytes.size();
    return size > present ? write(content, present, Bytes(size - present)) : Result<void>{};
}

Result<void> SimDisk::sync(Content& content)
{
    if (frozen_) {
        return fail(ErrorKind::io, "cannot sync: the device is off");
    }
    content.unsynced.clear();
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

Result<std::unique_ptr<WritableFile>> SimDisk::open_to_write(std::filesystem::path const& path)
{
    auto const found = files_.find(path);
    if (found == files_.end()) {
        return missing("open", path);
    }
    return std::make_unique<SimWritableFile>(*this, found->second);
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
