// greenring.pyi says what the module is: the same names, the same parameters.
#include <fstream>
#include <sstream>

#include "pyhost/module/module_fixture.h"

namespace greenring::pyhost {
namespace {

class StubTest : public ModuleTest {
 protected:
  void SetUp() override {
    ModuleTest::SetUp();
    std::ifstream file("pyhost/module/greenring.pyi");
    std::stringstream text;
    text << file.rdbuf();
    ASSERT_GT(text.str().size(), 1000u) << "run it by bazel, in whose directory greenring.pyi lies";
    const PyRef source(PyUnicode_FromString(text.str().c_str()));
    PyDict_SetItemString(globals_.get(), "source", source.get());
    Execute(R"(
import ast, inspect

def functions_of(tree):
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}

def classes_of(tree):
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}

def parameters(node):
    """(name, default or nothing) of a function in the stub, without self."""
    positional = [a.arg for a in node.args.posonlyargs + node.args.args]
    defaults = [ast.literal_eval(d) for d in node.args.defaults]
    found = [(name,) for name in positional[:len(positional) - len(defaults)]]
    found += list(zip(positional[len(positional) - len(defaults):], defaults))
    if node.args.vararg: found.append(('*' + node.args.vararg.arg,))
    for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults):
        found.append((argument.arg,) if default is None else (argument.arg, ast.literal_eval(default)))
    if node.args.kwarg: found.append(('**' + node.args.kwarg.arg,))
    return [one for one in found if one[0] != 'self']

def real_parameters(function):
    found = []
    for one in inspect.signature(function).parameters.values():
        stars = {one.VAR_POSITIONAL: '*', one.VAR_KEYWORD: '**'}.get(one.kind, '')
        found.append((stars + one.name,) if one.default is one.empty else (stars + one.name, one.default))
    return [one for one in found if one[0] != 'self']

def same(name, node, real):
    try:
        expected = real_parameters(real)
    except ValueError:
        return  # it does not tell
    # In the last overload of select() the default must be given: that is what tells it from the first.
    given = [(n, *d) if n != 'default' else (n, ...) for n, *d in parameters(node)]
    assert given == expected, (name, given, expected)

tree = ast.parse(source)
functions, classes = functions_of(tree), classes_of(tree)
public = {name for name in vars(greenring) if not name.startswith('_')}
)");
  }
};

TEST_F(StubTest, ThePublicNamesAgree) {
  Execute(
      "assert {n for n in {**functions, **classes} if not n.startswith('_')} == public, public ^ "
      "{*functions, *classes}\n");
}

TEST_F(StubTest, TheParametersOfFunctionsAgree) {
  Execute(
      "for name, node in functions.items(): same(name, node, getattr(greenring, name))\n"
      "assert real_parameters(greenring.sleep) == [('seconds',)]\n");
}

TEST_F(StubTest, TheMembersOfClassesAgree) {
  Execute(R"(
for name, node in classes.items():
    real, stub = getattr(greenring, name), functions_of(node)
    methods = {n for n in stub if not n.startswith('_')}
    attributes = {n for n in vars(real) if not n.startswith('_')}
    attributes -= {'n_fields', 'n_sequence_fields', 'n_unnamed_fields'}  # of every struct sequence
    values = {n.target.id for n in node.body if isinstance(n, ast.AnnAssign)}
    assert methods == attributes - values, (name, methods ^ (attributes - values))
    for special in stub.keys() - methods - {'__init__', '__new__'}:
        assert hasattr(real, special), (name, special)
    for method in methods:
        decorators = [d.id for d in stub[method].decorator_list]
        assert ('property' in decorators) == inspect.isdatadescriptor(getattr(real, method)), (name, method)
        if not decorators: same(method, stub[method], getattr(real, method))
)");
}

TEST_F(StubTest, EverythingIsDocumented) {
  Execute(
      "for name in public: assert inspect.getdoc(getattr(greenring, name)), name\n"
      "for name, node in classes.items(): assert ast.get_docstring(node), name\n"
      "for name, node in functions.items(): assert ast.get_docstring(node), name\n");
}

}  // namespace
}  // namespace greenring::pyhost
