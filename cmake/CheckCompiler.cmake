# Runs before project(): picks clang 19 when nothing else was asked for, and refuses GCC below 14.
if(NOT DEFINED CMAKE_CXX_COMPILER AND NOT DEFINED ENV{CXX})
    find_program(PLEXUS_CLANG clang-19)
    find_program(PLEXUS_CLANGXX clang++-19)
    if(PLEXUS_CLANGXX)
        set(CMAKE_C_COMPILER ${PLEXUS_CLANG})
        set(CMAKE_CXX_COMPILER ${PLEXUS_CLANGXX})
    endif()
endif()

function(plexus_check_compiler)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
        message(FATAL_ERROR
            "GCC ${CMAKE_CXX_COMPILER_VERSION} cannot build Plexus Mesh: GCC below 14 miscompiles coroutines "
            "(temporaries in co_await statements are destroyed twice). Install clang-19 and configure again.")
    endif()
endfunction()
