/* A shared object that is not a plugin. */
int rpd_test_nothing(void);

int rpd_test_nothing(void)
{
    return 0;
}
