// Runs every file of the given folders through a fuzz target once.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

int main(int count, char** arguments)
{
    auto replayed = 0;
    for (int index = 1; index < count; ++index) {
        if (!std::filesystem::exists(arguments[index])) {
            continue;
        }
        for (auto const& entry : std::filesystem::recursive_directory_iterator(arguments[index])) {
            if (!entry.is_regular_file()) {
                continue;
            }
            auto file = std::ifstream(entry.path(), std::ios::binary);
            auto bytes = std::vector<char>(std::istreambuf_iterator<char>(file), {});
            LLVMFuzzerTestOneInput(reinterpret_cast<std::uint8_t const*>(bytes.data()), bytes.size());
            ++replayed;
        }
    }
    std::printf("%d seeds replayed\n", replayed);
    return replayed > 0 ? 0 : 1;
}
