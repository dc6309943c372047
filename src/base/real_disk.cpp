#include "base/real_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace plexus {

namespace {

ErrorKind kind_of(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR: return ErrorKind::not_found;
    case EACCES:
    case EPERM:
    case EROFS: return ErrorKind::not_allowed;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return ErrorKind::out_of_space;
    case EEXIST: return ErrorKind::conflict;
    default: return ErrorKind::io;
    }
}

class Descriptor {
public:
    explicit Descriptor(int value) : value_(value) {}
    Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
    Descriptor& operator=(Descriptor&&) = delete;
    ~Descriptor()
    {
        if (value_ >= 0) {
            ::close(value_);
        }
    }
    int get() const { return value_; }

private:
    int value_;
};

class RealFile final : public File {
public:
    RealFile(Descriptor descriptor, std::uint64_t size, std::filesystem::path path)
        : descriptor_(std::move(descriptor)), size_(size), path_(std::move(path))
    {
    }

    std::uint64_t size() const override { return size_; }
    int descriptor() const override { return descriptor_.get(); }

    Result<std::size_t> read_at(std::uint64_t offset, MutableByteView target) const override
    {
        std::size_t done = 0;
        while (done < target.size()) {
            auto const count = ::pread(descriptor_.get(), target.data() + done, target.size() - done,
                                       static_cast<off_t>(offset + done));
            if (count < 0 && errno != EINTR) {
                return std::unexpected(system_error("read", path_, errno));
            }
            if (count == 0) {
                break;
            }
            done += count > 0 ? static_cast<std::size_t>(count) : 0;
        }
        return done;
    }

private:
    Descriptor descriptor_;
    std::uint64_t size_;
    std::filesystem::path path_;
};

class RealWritableFile final : public WritableFile {
public:
    RealWritableFile(Descriptor descriptor, std::filesystem::path path)
        : descriptor_(std::move(descriptor)), path_(std::move(path))
    {
    }

    Result<void> write(ByteView bytes) override
    {
        while (!bytes.empty()) {
            auto const count = ::write(descriptor_.get(), bytes.data(), bytes.size());
            if (count < 0 && errno != EINTR) {
                return std::unexpected(system_error("write", path_, errno));
            }
            bytes = bytes.subspan(count > 0 ? static_cast<std::size_t>(count) : 0);
        }
        return {};
    }

    Result<void> write_at(std::uint64_t offset, ByteView bytes) override
    {
        while (!bytes.empty()) {
            auto const count = ::pwrite(descriptor_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
            if (count < 0 && errno != EINTR) {
                return std::unexpected(system_error("write", path_, errno));
            }
            auto const written = count > 0 ? static_cast<std::size_t>(count) : 0;
            bytes = bytes.subspan(written);
            offset += written;
        }
        return {};
    }

    Result<void> reserve(std::uint64_t size) override
    {
        struct stat status = {};
        if (::fstat(descriptor_.get(), &status) != 0) {
            return std::unexpected(system_error("look at", path_, errno));
        }
        if (size == 0 || ::fallocate(descriptor_.get(), 0, 0, static_cast<off_t>(size)) == 0) {
            return {};
        }
        auto const is_impossible = errno == EOPNOTSUPP || errno == ENOSYS;
        if (!is_impossible || static_cast<std::uint64_t>(status.st_size) >= size) {
            return is_impossible ? Result<void>{} : std::unexpected(system_error("make room for", path_, errno));
        }
        if (::ftruncate(descriptor_.get(), static_cast<off_t>(size)) != 0) {
            return std::unexpected(system_error("make room for", path_, errno));
        }
        return {};
    }

    Result<void> sync() override
    {
        if (::fsync(descriptor_.get()) != 0) {
            return std::unexpected(system_error("sync", path_, errno));
        }
        return {};
    }

private:
    Descriptor descriptor_;
    std::filesystem::path path_;
};

Result<void> outcome(int code, std::string_view what, std::filesystem::path const& path)
{
    if (code != 0) {
        return std::unexpected(system_error(what, path, errno));
    }
    return {};
}

}  // namespace

Error system_error(std::string_view what, std::filesystem::path const& path, int number)
{
    return {kind_of(number), fmt::format("cannot {} {}: {}", what, path.string(),
                                         boost::system::system_category().message(number))};
}

Result<std::unique_ptr<File>> RealDisk::open(std::filesystem::path const& path)
{
    auto descriptor = Descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status = {};
    if (descriptor.get() < 0 || ::fstat(descriptor.get(), &status) != 0) {
        return std::unexpected(system_error("open", path, errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return fail(ErrorKind::io, "cannot open {}: not a regular file", path.string());
    }
    return std::make_unique<RealFile>(std::move(descriptor), static_cast<std::uint64_t>(status.st_size), path);
}

Result<std::unique_ptr<WritableFile>> RealDisk::create(std::filesystem::path const& path, unsigned mode)
{
    auto descriptor = Descriptor(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
    if (descriptor.get() < 0) {
        return std::unexpected(system_error("create", path, errno));
    }
    return std::make_unique<RealWritableFile>(std::move(descriptor), path);
}

Result<std::unique_ptr<WritableFile>> RealDisk::open_to_write(std::filesystem::path const& path)
{
    auto descriptor = Descriptor(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
    if (descriptor.get() < 0 || ::lseek(descriptor.get(), 0, SEEK_END) < 0) {
        return std::unexpected(system_error("open", path, errno));
    }
    return std::make_unique<RealWritableFile>(std::move(descriptor), path);
}

Result<void> RealDisk::make_folders(std::filesystem::path const& path, unsigned mode)
{
    if (path.empty() || ::access(path.c_str(), F_OK) == 0) {
        return {};
    }
    if (auto parent = make_folders(path.parent_path(), mode); !parent) {
        return parent;
    }
    if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
        return std::unexpected(system_error("make folder", path, errno));
    }
    return {};
}

Result<void> RealDisk::rename(std::filesystem::path const& from, std::filesystem::path const& to)
{
    return outcome(::rename(from.c_str(), to.c_str()), "rename", from);
}

Result<void> RealDisk::link(std::filesystem::path const& existing, std::filesystem::path const& added)
{
    return outcome(::link(existing.c_str(), added.c_str()), "link", added);
}

Result<void> RealDisk::remove(std::filesystem::path const& path)
{
    return outcome(std::remove(path.c_str()), "remove", path);
}

Result<void> RealDisk::sync_folder(std::filesystem::path const& path)
{
    auto const descriptor = Descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (descriptor.get() < 0) {
        return std::unexpected(system_error("open folder", path, errno));
    }
    return outcome(::fsync(descriptor.get()), "sync", path);
}

Result<FileStatus> RealDisk::status(std::filesystem::path const& path)
{
    struct stat status = {};
    if (::stat(path.c_str(), &status) != 0) {
        return std::unexpected(system_error("look at", path, errno));
    }
    auto const kind = S_ISREG(status.st_mode)   ? FileKind::file
                      : S_ISDIR(status.st_mode) ? FileKind::folder
                                                : FileKind::other;
    auto const modified = std::chrono::milliseconds(status.st_mtim.tv_sec * 1000 + status.st_mtim.tv_nsec / 1'000'000);
    return FileStatus{.kind = kind,
                      .size = static_cast<std::uint64_t>(status.st_size),
                      .mode = status.st_mode & 07777,
                      .modified = WallTime(modified),
                      .inode = status.st_ino};
}

Result<std::vector<std::string>> RealDisk::list(std::filesystem::path const& path)
{
    auto error = std::error_code{};
    auto names = std::vector<std::string>{};
    auto entries = std::filesystem::directory_iterator(path, error);
    while (!error && entries != std::filesystem::directory_iterator{}) {
        names.push_back(entries->path().filename().string());
        entries.increment(error);
    }
    if (error) {
        return std::unexpected(system_error("list", path, error.value()));
    }
    std::ranges::sort(names);
    return names;
}

Result<std::uint64_t> RealDisk::free_bytes(std::filesystem::path const& path)
{
    struct statvfs status = {};
    if (::statvfs(path.c_str(), &status) != 0) {
        return std::unexpected(system_error("look at", path, errno));
    }
    return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

}  // namespace plexus
