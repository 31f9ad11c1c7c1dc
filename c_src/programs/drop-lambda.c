/* The main of drop-lambda. It stands alone, because c_src exports names with a prefix only. */
#include "lambda.h"

int main(int count, char **words)
{
    return drop_lambda_main(count, words);
}
