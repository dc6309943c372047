# plexus_module(NAME LAYER n [DEPENDS module...] [EXTERNAL library...] [PROTO file...])
#
# One folder of src/ as one static library `plexus_NAME` and one test program `NAME_test`.
# A module may depend only on modules of lower layers; anything else stops the configuration.
# Tests (`*_test.cpp`, and helpers in `*_testing.cpp`) may use the same modules and doctest.

add_library(plexus_pch OBJECT ${CMAKE_SOURCE_DIR}/cmake/pch.cpp)
target_link_libraries(plexus_pch PRIVATE plexus_options plexus_external_asio plexus_external_fmt)
target_precompile_headers(plexus_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)

function(plexus_common target)
    target_link_libraries(${target} PRIVATE plexus_options)
    target_precompile_headers(${target} REUSE_FROM plexus_pch)
endfunction()

function(plexus_module name)
    cmake_parse_arguments(MODULE "" "LAYER" "DEPENDS;EXTERNAL;PROTO" ${ARGN})
    if(NOT DEFINED MODULE_LAYER)
        message(FATAL_ERROR "plexus_module(${name}): LAYER is missing")
    endif()
    foreach(lower ${MODULE_DEPENDS})
        get_property(lower_layer GLOBAL PROPERTY PLEXUS_LAYER_${lower})
        if("${lower_layer}" STREQUAL "")
            message(FATAL_ERROR "Module ${name} (layer ${MODULE_LAYER}) depends on ${lower}, which is not a lower module")
        elseif(NOT lower_layer LESS MODULE_LAYER)
            message(FATAL_ERROR
                "Module ${name} (layer ${MODULE_LAYER}) may not depend on ${lower} (layer ${lower_layer}): "
                "only lower layers are allowed (ARCHITECTURE.md, Modules)")
        endif()
    endforeach()
    set_property(GLOBAL PROPERTY PLEXUS_LAYER_${name} ${MODULE_LAYER})

    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
    set(tests ${sources})
    list(FILTER tests INCLUDE REGEX "_test(ing)?\\.cpp$")
    list(FILTER sources EXCLUDE REGEX "_test(ing)?\\.cpp$")

    add_library(plexus_${name} STATIC ${sources})
    plexus_common(plexus_${name})
    target_link_libraries(plexus_${name} PUBLIC plexus_external_asio plexus_external_fmt)
    foreach(lower ${MODULE_DEPENDS})
        target_link_libraries(plexus_${name} PUBLIC plexus_${lower})
    endforeach()
    foreach(library ${MODULE_EXTERNAL})
        target_link_libraries(plexus_${name} PRIVATE plexus_external_${library})
    endforeach()
    if(MODULE_PROTO)
        plexus_protobuf(plexus_${name} ${MODULE_PROTO})
    endif()

    if(tests)
        add_executable(${name}_test ${CMAKE_SOURCE_DIR}/cmake/test_main.cpp ${tests})
        plexus_common(${name}_test)
        target_link_libraries(${name}_test PRIVATE plexus_${name})
        foreach(library ${MODULE_EXTERNAL})
            target_link_libraries(${name}_test PRIVATE plexus_external_${library})
        endforeach()
        target_include_directories(${name}_test PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
        target_compile_definitions(${name}_test PRIVATE PLEXUS_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
        add_test(NAME unit.${name} COMMAND ${name}_test)
        set_tests_properties(unit.${name} PROPERTIES TIMEOUT 300)
    endif()
endfunction()

# Generates C++ (lite runtime) for files of proto/ and adds it to `target`; include as "<name>.pb.h" in .cpp files only.
function(plexus_protobuf target)
    foreach(file ${ARGN})
        set(out ${CMAKE_CURRENT_BINARY_DIR}/${file})
        add_custom_command(
            OUTPUT ${out}.pb.cc ${out}.pb.h
            COMMAND protobuf::protoc --cpp_out=lite:${CMAKE_CURRENT_BINARY_DIR} -I ${CMAKE_SOURCE_DIR}/proto
                    ${CMAKE_SOURCE_DIR}/proto/${file}.proto
            DEPENDS ${CMAKE_SOURCE_DIR}/proto/${file}.proto VERBATIM)
        set_source_files_properties(${out}.pb.cc PROPERTIES COMPILE_OPTIONS "-w" SKIP_PRECOMPILE_HEADERS ON)
        target_sources(${target} PRIVATE ${out}.pb.cc)
    endforeach()
    target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
    target_link_libraries(${target} PRIVATE plexus_external_protobuf)
endfunction()

# plexus_program(NAME SOURCES file... MODULES module... [EXTERNAL library...])
function(plexus_program name)
    cmake_parse_arguments(PROGRAM "" "" "SOURCES;MODULES;EXTERNAL" ${ARGN})
    add_executable(${name} ${PROGRAM_SOURCES})
    plexus_common(${name})
    foreach(module ${PROGRAM_MODULES})
        target_link_libraries(${name} PRIVATE plexus_${module})
    endforeach()
    foreach(library ${PROGRAM_EXTERNAL})
        target_link_libraries(${name} PRIVATE plexus_external_${library})
    endforeach()
endfunction()

# plexus_fuzz(NAME MODULES module...): fuzz/NAME.cpp, corpus in fuzz/corpus/NAME. Without PLEXUS_FUZZ the same file is
# built with a main() that replays the corpus, so that every seed is a regression test.
function(plexus_fuzz name)
    cmake_parse_arguments(FUZZ "" "" "MODULES;EXTERNAL" ${ARGN})
    if(PLEXUS_FUZZ)
        add_executable(fuzz_${name} ${CMAKE_SOURCE_DIR}/fuzz/${name}.cpp)
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    else()
        add_executable(fuzz_${name} ${CMAKE_SOURCE_DIR}/fuzz/${name}.cpp ${CMAKE_SOURCE_DIR}/cmake/fuzz_replay.cpp)
        add_test(NAME fuzz_seeds.${name} COMMAND fuzz_${name} ${CMAKE_SOURCE_DIR}/fuzz/corpus/${name})
        set_tests_properties(fuzz_seeds.${name} PROPERTIES TIMEOUT 120)
    endif()
    plexus_common(fuzz_${name})
    foreach(module ${FUZZ_MODULES})
        target_link_libraries(fuzz_${name} PRIVATE plexus_${module})
    endforeach()
    foreach(library ${FUZZ_EXTERNAL})
        target_link_libraries(fuzz_${name} PRIVATE plexus_external_${library})
    endforeach()
endfunction()
