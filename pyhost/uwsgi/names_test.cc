// The names of uWSGI's module, one by one: each is there, or says that it is not. And uwsgi.pyi has those that are.
#include <fstream>
#include <sstream>

#include "pyhost/uwsgi/uwsgi_fixture.h"

namespace greenring::pyhost {
namespace {

constexpr const char kNames[] = R"(
there = set('''
    suspend green_schedule wait_fd_read wait_fd_write ready_fd async_sleep async_connect connect is_connected send recv
    close connection_fd disconnect request_context chunked_read chunked_read_nb
    worker_id masterpid mule_id i_am_the_spooler request_id total_requests cl ready mem micros listen_queue workers
    reload stop set_user_harakiri log log_this_request set_logvar get_logvar add_var alarm setprocname accepting
    opt version version_info hostname numproc cores loop has_threads sockets started_on buffer_size magic_table
    is_a_reload applications unbit SPOOL_OK SPOOL_RETRY SPOOL_IGNORE
'''.split())
absent = set('''
    websocket_handshake websocket_recv websocket_recv_nb websocket_send websocket_send_binary
    cache_get cache_set cache_update cache_del cache_clear cache_exists cache_inc cache_dec cache_mul cache_div cache_num
    cache_keys spool send_to_spooler spooler_jobs spooler_pid spooler_pids spooler_get_task set_spooler_frequency
    spooler_dir mule_msg mule_get_msg mule_file mule_msg_recv_size farm_msg farm_get_msg install_mule_msg_hook in_farm
    register_rpc rpc call rpc_list sharedarea_read sharedarea_write sharedarea_memoryview queue_get queue_set queue_push
    queue_pull queue_pop queue_slot queue_pull_slot queue_last metric_get metric_set metric_inc metric_dec snmp_set_gauge
    route sendfile offload parsefile extract embedded_data i_am_the_lord lord_scroll scrolls set_warning_message logsize
'''.split())
)";

class NamesTest : public UwsgiTest {
 protected:
  void SetUp() override {
    UwsgiTest::SetUp();
    Execute(kNames);
  }
};

TEST_F(NamesTest, EachNameIsThereOrSaysThatItIsNot) {
  Execute(R"(
for name in there: assert hasattr(uwsgi, name), name
for name in absent:
    assert not hasattr(uwsgi, name), name
    try: getattr(uwsgi, name)()
    except NotImplementedError as error: assert str(error).startswith('uwsgi.%s is not there; ' % name), error
    else: assert False, name
)");
}

TEST_F(NamesTest, AnyOtherNameIsAnAttributeErrorOnly) {
  Execute(R"(
try: uwsgi.nonsense
except AttributeError as error: assert not isinstance(error, NotImplementedError), error
try: from uwsgi import cache_get
except ImportError: pass
else: assert False
)");
}

TEST_F(NamesTest, TheStubHasWhatIsThere) {
  std::ifstream file("pyhost/uwsgi/uwsgi.pyi");
  std::stringstream text;
  text << file.rdbuf();
  ASSERT_GT(text.str().size(), 1000u) << "run it by bazel, in whose directory uwsgi.pyi lies";
  const PyRef source(PyUnicode_FromString(text.str().c_str()));
  PyDict_SetItemString(globals_.get(), "source", source.get());
  Execute(R"(
import ast, inspect
tree = ast.parse(source)
functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
values = {node.target.id for node in tree.body if isinstance(node, ast.AnnAssign)}
classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
assigned = {'post_fork_hook', 'atexit', 'after_req_hook', 'env', 'mode', 'pidfile'}  # by the program, or sometimes there
public = {name for name in vars(uwsgi) if not name.startswith('_')}
stub = functions.keys() | values | classes
assert stub - assigned == public - assigned, (stub - assigned) ^ (public - assigned)
for name, node in functions.items():
    assert ast.get_docstring(node) and inspect.getdoc(getattr(uwsgi, name)), name
    try: real = inspect.signature(getattr(uwsgi, name)).parameters
    except ValueError: continue  # it does not tell
    expected = [argument.arg for argument in node.args.posonlyargs + node.args.args]
    assert list(real) == expected, (name, list(real), expected)
    defaults = [one.default for one in real.values() if one.default is not one.empty]
    assert defaults == [ast.literal_eval(default) for default in node.args.defaults], name
)");
}

}  // namespace
}  // namespace greenring::pyhost
