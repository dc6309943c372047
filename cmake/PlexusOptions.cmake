plexus_check_compiler()

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(PLEXUS_SANITIZE "" CACHE STRING "address, thread or empty")
option(PLEXUS_FUZZ "Build the libFuzzer targets" OFF)
option(PLEXUS_ENGINE "Build plexus-engine against llama.cpp" ON)
set(PLEXUS_LLAMA_SOURCE "" CACHE PATH "llama.cpp source folder (tools/fetch --print llama.cpp)")
set(PLEXUS_LLAMA_BUILD "" CACHE PATH "llama.cpp build folder (tools/build-llama --print)")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
    set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

add_library(plexus_options INTERFACE)
target_compile_options(plexus_options INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wconversion -Wno-sign-conversion
    -Werror=return-type -Werror=unused-result -fno-omit-frame-pointer -fPIE
    "$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
target_compile_definitions(plexus_options INTERFACE
    BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_ALLOW_DEPRECATED_HEADERS
    PLEXUS_VERSION="${PROJECT_VERSION}")
target_link_options(plexus_options INTERFACE -fuse-ld=lld -pie)
target_include_directories(plexus_options INTERFACE ${CMAKE_SOURCE_DIR}/src)

if(PLEXUS_SANITIZE STREQUAL "address")
    target_compile_options(plexus_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined)
    target_link_options(plexus_options INTERFACE -fsanitize=address,undefined)
elseif(PLEXUS_SANITIZE STREQUAL "thread")
    target_compile_options(plexus_options INTERFACE -fsanitize=thread)
    target_link_options(plexus_options INTERFACE -fsanitize=thread)
elseif(NOT PLEXUS_FUZZ)
    target_compile_options(plexus_options INTERFACE
        -fstack-protector-strong $<$<CONFIG:Release>:-U_FORTIFY_SOURCE> $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=3>)
    target_link_options(plexus_options INTERFACE -Wl,-z,relro,-z,now)
endif()
if(PLEXUS_FUZZ)
    target_compile_options(plexus_options INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined)
    target_link_options(plexus_options INTERFACE -fsanitize=address,undefined)
endif()
