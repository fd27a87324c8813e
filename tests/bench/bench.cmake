# Load generator, counting receiver and the bound: run by bench.py, which measures; here they are only shown to work.
add_executable(bench-load bench/load.c bench/dialogue.c bench/endpoint.c)
target_link_libraries(bench-load PRIVATE common PkgConfig::JANSSON warnings)
add_executable(bench-sink bench/sink.c bench/receiver.c bench/endpoint.c)
target_link_libraries(bench-sink PRIVATE common warnings)
add_executable(bench-bound bench/bound.c bench/receiver.c bench/endpoint.c)
target_link_libraries(bench-bound PRIVATE common PkgConfig::SQLITE warnings)
add_executable(bench-spawnload bench/spawnload.c)
target_link_libraries(bench-spawnload PRIVATE common PkgConfig::JANSSON warnings)
# TLS for the programs that speak SMTP.
add_library(bench_stream STATIC bench/stream.c)
target_link_libraries(bench_stream PRIVATE common PkgConfig::OPENSSL warnings)
foreach(program bench-load bench-sink bench-bound)
  target_link_libraries(${program} PRIVATE bench_stream)
endforeach()

# What makes a deep queue, and bare SQLite as the reference for large messages: both by the spool's own code.
add_executable(bench-fill bench/fill.c)
target_link_libraries(bench-fill PRIVATE spool loop queue common PkgConfig::EVENT warnings)
add_executable(bench-chunks bench/chunks.c)
target_link_libraries(bench-chunks PRIVATE spool loop queue common PkgConfig::SQLITE warnings)
target_include_directories(bench-chunks PRIVATE $<TARGET_PROPERTY:spool,BINARY_DIR>)

add_custom_target(bench-programs
  DEPENDS bench-load bench-sink bench-bound bench-spawnload bench-fill bench-chunks)

find_package(Python3 COMPONENTS Interpreter REQUIRED)
add_test(NAME bench-smoke
  COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/bench/smoke.py
          $<TARGET_FILE:bench-load> $<TARGET_FILE:bench-sink> $<TARGET_FILE:bench-bound>
          $<TARGET_FILE:bench-spawnload>)
set_tests_properties(bench-smoke PROPERTIES TIMEOUT 120 LABELS bench-smoke)
add_test(NAME bench-fill COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/bench/test_fill.py
         $<TARGET_FILE_DIR:bench-fill>)
set_tests_properties(bench-fill PROPERTIES TIMEOUT 60 LABELS bench-smoke)

add_test(NAME bench-order COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/bench/test_order.py)
set_tests_properties(bench-order PROPERTIES TIMEOUT 60 LABELS bench-smoke)
add_test(NAME bench-report COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/bench/test_report.py)
set_tests_properties(bench-report PROPERTIES TIMEOUT 60 LABELS bench-smoke)
