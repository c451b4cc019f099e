import { plainToInstance } from 'class-transformer';
import {
  ArrayMaxSize,
  IsArray,
  IsInt,
  IsOptional,
  IsString,
  Matches,
  Max,
  Min,
  MinLength,
  ValidateNested,
  validateSync,
} from 'class-validator';
import { anything, array, assert, constantFrom, dictionary, integer, oneof, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quicklyValid } from './quick-check.js';

class Base {
  @IsString()
  @MinLength(2)
  name!: string;
}

class Derived extends Base {
  @IsInt()
  @Min(1)
  @Max(3)
  count: number = 1;

  @IsArray()
  @ArrayMaxSize(2)
  @Matches(/^[a-c]+$/, { each: true })
  words!: string[];
}

class Optional {
  @IsOptional()
  @IsString()
  name?: string;
}

class Outer {
  @ValidateNested()
  inner!: Base;
}

class WithCondition {
  @IsString({ validateIf: (object: WithCondition) => object.asked })
  name!: unknown;
  asked = false;
}

class WithoutRules {
  name = 'x';
}

const STRICT = { whitelist: true, forbidNonWhitelisted: true, forbidUnknownValues: true };

describe('the quick look at an instance', () => {
  it('says the same as class-validator, whatever the value', () => {
    const value = oneof(string(), constantFrom('ab', 'ccc'), integer({ min: 0, max: 4 }), array(string()), anything());
    const field = constantFrom('name', 'count', 'words', 'more', 'constructor');
    const words = array(constantFrom('a', 'bc', 'd'), { maxLength: 3 });
    let valid = 0;
    assert(
      property(
        dictionary(field, oneof(value, words), { maxKeys: 4 }),
        constantFrom<new () => object>(Base, Derived),
        (plain, type) => {
          const instance = plainToInstance(type, plain);
          const loose = validateSync(plainToInstance(type, plain), { forbidUnknownValues: true });
          expect(quicklyValid(type, instance, false)).toBe(loose.length === 0);
          expect(quicklyValid(type, instance, true)).toBe(validateSync(instance, STRICT).length === 0);
          valid += loose.length === 0 ? 1 : 0;
        },
      ),
      { numRuns: 5000 },
    );
    expect(valid).toBeGreaterThan(10);
  });

  it('leaves to class-validator what is not a matter of one value', () => {
    for (const [type, plain] of [
      [Optional, {}],
      [Optional, { name: 1 }],
      [Outer, { inner: { name: 'ab' } }],
      [WithCondition, { name: 1, asked: true }],
      [WithoutRules, {}],
    ] as const)
      expect(quicklyValid(type, plainToInstance(type as new () => object, plain), true)).toBe(false);
  });
});
